/** An attacker's connections: raw sockets, on which any bytes can be sent, and a count of the answers that come. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** What came back, counted: by status, and connections that were closed without an answer. */
export type Answers = Map<string, number>;

export type Attacker = {
  readonly socket: Socket;
  /** Resolves with the next answer, or when the connection is closed. */
  next(): Promise<void>;
  isOpen(): boolean;
};

/** As long as what is looked for, so that none is missed where one read ends and the next begins. */
const statusLine = /HTTP\/1\.1 (\d{3}) /g;
const carriedCharacters = "HTTP/1.1 200 ".length - 1;

/** Opens a connection of this machine. */
export function open(port: number, answers: Answers): Attacker {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  let tail = "";
  let answered = 0;
  let isOver = false;
  let wake = (): void => {};
  const count = (what: string): void => void answers.set(what, (answers.get(what) ?? 0) + 1);
  socket.on("data", (chunk: Buffer) => {
    const text = tail + chunk.toString("latin1");
    for (const [, status = ""] of text.matchAll(statusLine)) {
      answered += 1;
      count(status);
    }
    tail = text.slice(-carriedCharacters);
    wake();
  });
  socket.on("error", () => {}); // "close" follows
  socket.on("end", () => {
    isOver = true;
  });
  socket.on("close", () => {
    isOver = true;
    if (answered === 0) count("closed");
    wake();
  });
  return {
    socket,
    next: () =>
      new Promise((resolve) => {
        if (socket.destroyed) resolve();
        else wake = resolve;
      }),
    isOpen: () => !isOver && !socket.destroyed,
  };
}

/** Resolves once the connection stands, or cannot be had. */
export async function connected({ socket }: Attacker): Promise<void> {
  if (socket.connecting) await Promise.race([once(socket, "connect"), once(socket, "close")]).catch(() => {});
}
