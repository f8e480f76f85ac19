-- KEYS: buckets. ARGV: for each bucket interval and count. A bucket that is not there is full already.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i, key in ipairs(KEYS) do
  local full_at = tonumber(redis.call('GET', key) or now) or now
  full_at = full_at - tonumber(ARGV[2 * i - 1]) * tonumber(ARGV[2 * i])
  if full_at > now then
    redis.call('SET', key, string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
  else
    redis.call('DEL', key)
  end
end
return 0
