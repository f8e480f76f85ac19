-- KEYS: buckets. ARGV: for each bucket interval, burst, count and debt; times in microseconds. Takes the tokens whether they are there or not: a bucket owes no more than its debt.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2])
  local count, debt = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local most = now + burst * interval + debt
  local full_at = math.max(now, tonumber(redis.call('GET', key) or now) or now)
  full_at = math.min(full_at + count * interval, most)
  redis.call('SET', key, string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
end
return 0
