-- What wrk sends: the deliveries of deliveries.ts, each time under an id of its own.
-- Everything but the id is put together before the clock runs: wrk must not be what limits the servers.
local heads, tails = {}, {}
for line in io.lines(os.getenv("BENCH_DELIVERIES")) do
  local signature, body = line:match("^(%S+) (.*)$")
  heads[#heads + 1] = "POST /webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    .. "Connection: " .. os.getenv("BENCH_CONNECTION") .. "\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: sha256="
    .. signature .. "\r\nX-GitHub-Delivery: " .. os.getenv("BENCH_RUN") .. "-"
  tails[#tails + 1] = "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

local count = 0
function request()
  count = count + 1
  local index = count % #heads + 1
  return heads[index] .. count .. tails[index]
end

-- One line of JSON; times are microseconds here and milliseconds there.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"longest":%f,"failures":%d,"generatorSeconds":%f}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout, os.clock()))
end
