-- Requests of wrk: bodies of a file, one per line, in a different order in each thread; a pause for half load.
-- Arguments: the file, milliseconds between a reply and the next request of a connection.
local bodies = {}
local pause = 0
local at = 0

function init(args)
  for line in io.lines(args[1]) do bodies[#bodies + 1] = line end
  pause = tonumber(args[2])
  math.randomseed(os.time())
  at = math.random(#bodies)
  wrk.method = "POST"
  wrk.headers["content-type"] = "application/json"
end

function request()
  at = at % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end

function delay()
  if pause == 0 then return 0 end
  return math.floor(pause * (0.5 + math.random()))
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{"requests": %d, "seconds": %.3f, "failed": %d, "p50": %.1f, "p99": %.1f}\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.timeout + errors.status,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
