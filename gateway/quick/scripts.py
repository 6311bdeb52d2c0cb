"""What runs inside Redis, each as one step that nothing else comes between.

All but `CLAIM` begin with `_GUARD`: the server must be in the epoch that the caller knows, and no further back in it
than the caller has seen (`seq`, which each charge raises); else it has forgotten something, nothing is done, and the
answer is `{-1}`. Else it begins with the present `seq`. KEYS[1] is the hash with `epoch` and `seq`, the lanes follow.
Times are milliseconds since 1970 by the gateways' clocks; they are stored as they were given, for Lua would write a
number of that size with an exponent.
"""

from __future__ import annotations

FORGOT = -1

_GUARD = """
local fence = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
local seq = tonumber(fence[2] or '0')
if fence[1] ~= ARGV[1] or seq < tonumber(ARGV[2]) then return {-1} end
"""

CLAIM = """
local fence = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
local seq, seen = tonumber(fence[2] or '0'), tonumber(ARGV[2])
if fence[1] and not (fence[1] == ARGV[1] and seq < seen) then return {seq, fence[1]} end
seq = math.max(seq, seen) + 1
redis.call('HSET', KEYS[1], 'epoch', ARGV[3], 'seq', seq)
return {seq, ARGV[3]}
"""
"""The epoch that is in force; a new one where there is none, or where the server went back in the known one.

ARGV: the epoch that is known, the `seq` that was seen in it, a new epoch.
"""

MERGE = (
    _GUARD
    + """
for i = 2, #KEYS do
  local failures, at = ARGV[2 * i], ARGV[2 * i + 1]
  local kept = redis.call('HMGET', KEYS[i], 'n', 'at')
  if tonumber(kept[1] or '0') > tonumber(failures) then failures = kept[1] end
  if tonumber(kept[2] or '0') > tonumber(at) then at = kept[2] end
  redis.call('HSET', KEYS[i], 'n', failures, 'at', at)
  redis.call('PEXPIRE', KEYS[i], ARGV[3])
end
return {seq}
"""
)
"""Let no lane have fewer or older failures than these. ARGV: the life of a lane; failures and moment of each."""

CHARGE = (
    _GUARD
    + """
local now, base, forget = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local failures, before, locked = {}, {}, 0
for i = 2, #KEYS do
  local free, longest = tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 3])
  local kept = redis.call('HMGET', KEYS[i], 'n', 'at')
  local n, at = tonumber(kept[1] or '0'), kept[2] or ARGV[3]
  if now - tonumber(at) > forget then n, at = 0, ARGV[3] end
  if n > free then
    local ends = tonumber(at) + math.min(longest, base * 2 ^ math.min(n - free - 1, 40))
    if ends > now then locked = math.max(locked, ends) end
  end
  failures[i], before[i] = n + 1, at
end
if locked > 0 then return {seq, locked} end
local answer = {redis.call('HINCRBY', KEYS[1], 'seq', 1), 0}
for i = 2, #KEYS do
  redis.call('HSET', KEYS[i], 'n', failures[i], 'at', ARGV[3])
  redis.call('PEXPIRE', KEYS[i], ARGV[5])
  answer[#answer + 1] = failures[i]
  answer[#answer + 1] = before[i]
end
return answer
"""
)
"""Count an attempt in each lane, unless one of them is locked.

ARGV: now, the first wait, after how long a count is forgotten; free failures and the longest wait of each lane.
Answers until when one of them is locked; or 0, then the failures of each lane with this one, and when it last failed.
"""

UNDO = (
    _GUARD
    + """
local answer = {seq}
for i = 2, #KEYS do
  local before = ARGV[i + 2]
  local kept = redis.call('HMGET', KEYS[i], 'n', 'at')
  local n, at = tonumber(kept[1] or '0'), kept[2] or ARGV[3]
  if before == '' then
    n = 0
    redis.call('DEL', KEYS[i])
  elseif n > 0 then
    n = n - 1
    if at == ARGV[3] then at = before end
    redis.call('HSET', KEYS[i], 'n', n, 'at', at)
  end
  answer[#answer + 1] = n
  answer[#answer + 1] = at
end
return answer
"""
)
"""Undo the charge of a moment. ARGV: the moment; when each lane failed before, empty for one that is cleared instead.

Answers the failures of each lane and the moment of the last one.
"""

STEP = (
    _GUARD
    + """
local used = redis.call('SET', KEYS[2], '', 'NX', 'PX', ARGV[3])
return {seq, used and 1 or 0}
"""
)
"""Use one time step of one person's codes: 1 for one caller only. ARGV: how long that matters."""

SHARE = (
    _GUARD
    + """
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
return {seq, unpack(redis.call('HVALS', KEYS[2]))}
"""
)
"""Say what a gateway has used, and hear what all have said.

ARGV: the gateway, its share or nothing, how long that lasts.
"""

LOOK = _GUARD + "return {seq}"
"""Whether the server remembers."""
