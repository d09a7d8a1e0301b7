/**
 * What does it cost to keep every delivery on the disk before it is answered?
 *
 *     node test/bench/inbox.ts [seconds for each slice] [rounds]
 *
 * Interleaved rounds, medians, ratios to a bare node:http server that reads the body and answers. 64 connections,
 * kept alive and one for each delivery; a GitHub push of 8 KB, each with a signature and an id of its own. The
 * load comes from wrk (Debian's package). `one each` is what a receiver without group commit does: a transaction
 * and a sync for every request, in the same thread. With a C compiler there is a second table with a sync that
 * takes 5 ms longer, as on slower disks.
 */
import { execFileSync, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectFolder, secret } from "../receiver.ts";

const [sliceSeconds = 3, rounds = 5] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), "bench-"));
const connections = 64;
const preparedDeliveries = 500;

type Contestant = {
  readonly name: string;
  readonly start: (environment: NodeJS.ProcessEnv) => Promise<Running>;
};
type Running = { readonly port: number; stop(): Promise<void> };
type Slice = { perSecond: number; p50: number; p99: number; longest: number };

function prepareDeliveries(): void {
  const push = readFileSync(join(projectFolder, "test/payloads/push.json"), "utf8");
  const lines = Array.from({ length: preparedDeliveries }, (_, number) => {
    const body = `${push.slice(0, -1)},"number":${number}}`;
    return `${createHmac("sha256", secret).update(body).digest("hex")} ${body}`;
  });
  writeFileSync(join(folder, "deliveries.txt"), lines.join("\n"));
  writeFileSync(
    join(folder, "post.lua"),
    `local lines = {}
     for line in io.lines("${folder}/deliveries.txt") do lines[#lines + 1] = line end
     local count, start, close = 0, tostring(os.time()) .. tostring(math.random(1, 1e9)), os.getenv("BENCH_CLOSE")
     function request()
       count = count + 1
       local signature, body = lines[count % #lines + 1]:match("^(%S+) (.*)$")
       local headers = { ["Content-Type"] = "application/json", ["X-GitHub-Event"] = "push",
         ["X-GitHub-Delivery"] = start .. "-" .. count, ["X-Hub-Signature-256"] = "sha256=" .. signature }
       if close then headers["Connection"] = "close" end
       return wrk.format("POST", "/webhook", headers, body)
     end
     function done(summary, latency)
       io.write(string.format("RESULT %f %f %f %f %d\\n", summary.requests / summary.duration * 1e6,
         latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000,
         summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
     end`,
  );
}

/** A program that says on which port it listens. */
async function startNode(args: string[], environment: NodeJS.ProcessEnv): Promise<Running> {
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: { ...process.env, WEBHOOK_SECRET: secret, ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  let port: number | undefined;
  const ready = Promise.withResolvers<void>();
  child.stdout.on("data", (chunk: Buffer) => {
    if (port !== undefined) return;
    text += chunk;
    port = Number(/127\.0\.0\.1:(\d+)/.exec(text)?.[1]) || undefined;
    if (port !== undefined) ready.resolve();
  });
  await ready.promise;
  return {
    port: port ?? 0,
    stop: async () => {
      child.kill("SIGTERM");
      await once(child, "close");
    },
  };
}

const bare = `
  import { createServer } from "node:http";
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => response.end(KEEP(request, Buffer.concat(chunks))));
  });
  server.listen(0, "127.0.0.1", () => console.log("http://127.0.0.1:" + server.address().port));
  process.on("SIGTERM", () => process.exit());`;
const ceiling = bare.replace("KEEP(request, Buffer.concat(chunks))", '"{}"');
const oneEach = `
  import { DatabaseSync } from "node:sqlite";
  import { createHmac, timingSafeEqual } from "node:crypto";
  const database = new DatabaseSync("one-each-" + process.pid + ".db");
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  database.exec("CREATE TABLE deliveries (id TEXT PRIMARY KEY, event TEXT, body BLOB)");
  const insert = database.prepare("INSERT INTO deliveries VALUES (?, ?, ?) ON CONFLICT DO NOTHING");
  function KEEP({ headers }, body) {
    const digest = createHmac("sha256", process.env.WEBHOOK_SECRET).update(body).digest();
    if (!timingSafeEqual(digest, Buffer.from(headers["x-hub-signature-256"].slice(7), "hex"))) return "no";
    JSON.parse(body.toString());
    insert.run(headers["x-github-delivery"], headers["x-github-event"], body);
    return "{}";
  }
  ${bare}`;

let files = 0;
const contestants: Contestant[] = [
  { name: "ceiling", start: (environment) => startNode(["--input-type=module", "-e", ceiling], environment) },
  {
    name: "one each",
    start: (environment) => startNode(["--input-type=module", "-e", oneEach], environment),
  },
  {
    name: "receiver",
    start: (environment) => {
      writeFileSync(join(folder, "none.mjs"), "export const handlers = {};\n");
      files += 1;
      const args = ["--port", "0", "--log", "json", "--handlers", "none.mjs", "--inbox", `inbox-${files}.db`];
      return startNode([join(projectFolder, "webhook-receiver.ts"), ...args], environment);
    },
  },
];

function measure(port: number, isKeptAlive: boolean): Slice {
  const args = [
    "-t1",
    `-c${connections}`,
    "--timeout",
    "10s",
    `-d${sliceSeconds}s`,
    "-s",
    join(folder, "post.lua"),
    `http://127.0.0.1:${port}`,
  ];
  const { BENCH_CLOSE: _, ...environment } = process.env;
  const text = execFileSync("wrk", args, {
    encoding: "utf8",
    env: isKeptAlive ? environment : { ...environment, BENCH_CLOSE: "1" },
  });
  const [perSecond = 0, p50 = 0, p99 = 0, longest = 0, errors = 0] = (/^RESULT (.*)$/m.exec(text)?.[1] ?? "")
    .split(" ")
    .map(Number);
  if (errors > 0) throw new Error(`${errors} requests failed:\n${text}`);
  return { perSecond, p50, p99, longest };
}

const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

async function table(title: string, environment: NodeJS.ProcessEnv): Promise<void> {
  const slices = new Map<string, Slice[]>();
  for (let round = 0; round < rounds; round++) {
    for (const { name, start } of contestants) {
      for (const isKeptAlive of [true, false]) {
        const running = await start(environment);
        const key = `${name}, ${isKeptAlive ? "kept alive" : "a connection each"}`;
        slices.set(key, [...(slices.get(key) ?? []), measure(running.port, isKeptAlive)]);
        await running.stop();
      }
    }
  }
  console.log(`\n${title}\n`);
  console.log("| | x ceiling | p50 ms | p99 ms | longest ms |\n|---|--:|--:|--:|--:|");
  for (const [key, all] of slices) {
    const of = (read: (slice: Slice) => number) => median(all.map(read));
    const top = slices.get(key.replace(/^.*,/, "ceiling,")) ?? [];
    const ratio = of(({ perSecond }) => perSecond) / median(top.map(({ perSecond }) => perSecond));
    const times = [of(({ p50 }) => p50), of(({ p99 }) => p99), of(({ longest }) => longest)].map((time) =>
      time.toFixed(1),
    );
    console.log(`| ${key} | ${ratio.toFixed(2)} | ${times.join(" | ")} |`);
  }
}

/** A library that makes every sync take 5 ms longer, put in front of the C library's own. */
function slowSync(): string | undefined {
  const source = join(folder, "slow.c");
  writeFileSync(
    source,
    `#define _GNU_SOURCE
     #include <dlfcn.h>
     #include <unistd.h>
     int fsync(int f) { usleep(5000); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(f); }
     int fdatasync(int f) { usleep(5000); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(f); }`,
  );
  try {
    execFileSync("cc", ["-shared", "-fPIC", "-o", join(folder, "slow.so"), source, "-ldl"]);
    return join(folder, "slow.so");
  } catch {
    console.log("no C compiler: the table with a slow sync is left out");
    return undefined;
  }
}

prepareDeliveries();
await table(`Node ${process.version}, ${rounds} rounds of ${sliceSeconds} s, ${connections} connections`, {});
const library = slowSync();
if (library !== undefined) await table("The same with 5 ms more for every sync", { LD_PRELOAD: library });
rmSync(folder, { recursive: true });
