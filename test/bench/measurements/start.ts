/** From the start of the process until it listens: under `tsx`, under plain Node, and the ceiling beside them. */
import { fileURLToPath } from "node:url";
import { ceiling, noHandlers, receiverCommand } from "../contestants.ts";
import type { Bench } from "../rounds.ts";
import { startServer } from "../server.ts";
import { markdownTable, type Report, shownSpread, spread } from "../tables.ts";

const program = fileURLToPath(new URL("../../../webhook-receiver.ts", import.meta.url));

export async function start(bench: Bench): Promise<Report> {
  const plainArgs = [program, "--port", "0", "--log", "json", ...noHandlers];
  const ways = [
    { name: ceiling.name, command: ceiling.command, times: [] as number[] },
    {
      name: "node webhook-receiver.ts",
      command: () => ({ program: process.execPath, args: plainArgs }),
      times: [] as number[],
    },
    { name: "tsx webhook-receiver.ts", command: () => receiverCommand(), times: [] as number[] },
  ];
  for (let round = 1; round <= bench.rounds; round += 1) {
    for (const { command, times } of ways) {
      const server = await startServer(bench.folder, await command());
      times.push(server.startMilliseconds);
      await server.stop();
    }
  }
  const rows = ways.map(({ name, times }) => [name, shownSpread(spread(times), 0)]);
  return { text: markdownTable(["from start to listening", "ms (least–most)"], rows), findings: new Map() };
}
