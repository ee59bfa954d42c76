-- POST bodies with a new seed for every request, and the numbers of a run as one line of JSON.
-- Arguments: path, content type, a file with the body, in which @SEED@ is replaced.
local number, head, tail, path, fields = 0

function init(args)
  path, fields = args[1], { ["Content-Type"] = args[2] }
  local file = assert(io.open(args[3], "rb"))
  local body = file:read("*a")
  file:close()
  local from, to = body:find("@SEED@", 1, true)
  if from then head, tail = body:sub(1, from - 1), body:sub(to + 1) else head = body end
  number = math.random(0, 1000000)
end

function request()
  number = number + 1
  return wrk.format("POST", path, fields, tail and head .. number .. tail or head)
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%.6f,"refused":%d,"broken":%d,"p50":%.4f,"p95":%.4f,"p99":%.4f,"max":%.4f}\n',
    summary.requests, summary.duration / 1e6, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50) / 1000, latency:percentile(95) / 1000, latency:percentile(99) / 1000, latency.max / 1000))
end
