-- Sends the requests on the lines of a file, one after the other, over and over.
-- Arguments: the file, and the authentication key if there is one.
local threads = 0

function setup(thread)
  thread:set("first", threads)
  threads = threads + 1
end

function init(args)
  requests, at = {}, first * 7919 -- threads begin at different places
  for line in io.lines(args[1]) do
    local path, range = line:match("^(%S+) ?(.*)$")
    local headers = {}
    if range ~= "" then headers["Range"] = range end
    if args[2] and args[2] ~= "" then headers["Authorization"] = "Bearer " .. args[2] end
    requests[#requests + 1] = wrk.format("GET", path, headers)
  end
end

function request()
  at = at + 1
  return requests[at % #requests + 1]
end

function done(summary)
  local e = summary.errors
  print(string.format("RESULT %d %d %d %d", summary.requests, summary.bytes, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout))
end
