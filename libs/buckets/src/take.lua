-- KEYS: buckets. ARGV: for each bucket interval, burst, want and debt; times in microseconds. Answers granted and wait for each.
-- A bucket is one number: when it will be full again. Both clamps matter: the lower one since time passes, the upper one since the clock of
-- Redis may step back (or the rate grow), which must not freeze a bucket for longer than what it may owe.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers = {}
for i, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2])
  local want, debt = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local span = burst * interval
  local full_at = tonumber(redis.call('GET', key) or now) or now
  full_at = math.max(now, math.min(full_at, now + span + debt))
  local granted = math.max(0, math.min(want, math.floor((now + span - full_at) / interval)))
  local wait = 0
  if granted > 0 then
    full_at = full_at + granted * interval
    -- '%.0f' because Lua would print 1.7e+15 and lose the microseconds.
    redis.call('SET', key, string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
  end
  if granted < want then
    wait = math.max(1, full_at + interval - now - span)
  end
  answers[2 * i - 1] = granted
  answers[2 * i] = wait
end
return answers
