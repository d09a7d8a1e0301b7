/** How long a server's event loop has stood still, as a module says that is loaded before it (`servers/probe.ts`). */
import { fileURLToPath } from "node:url";
import type { Server } from "./server.ts";

/** For `--import`. */
export const probe = fileURLToPath(new URL("servers/probe.ts", import.meta.url));

/** The longest since it was asked before, in milliseconds. */
export function longestStall({ errors, processId }: Server): Promise<number> {
  return new Promise((resolve) => {
    let text = "";
    const read = (chunk: Buffer): void => {
      text += chunk;
      const said = /\{"longestStall":([\d.]+)\}\n/.exec(text)?.[1];
      if (said === undefined) return;
      errors.off("data", read);
      resolve(Number(said));
    };
    errors.on("data", read);
    process.kill(processId, "SIGUSR2");
  });
}
