"""The MySQL client/server protocol 4.1, both roles, sans-io: bytes to packets, packets to messages, and back.

The engine (`engines/mysql*.py`) is what imports it. The
rooms: `base` (numbers, strings, flags), `packets` (framing), `handshake` and `auth` (until somebody is signed in),
`commands` (what clients say), `results` and `tracking` (what servers say), `values` (the binary protocol's), `answers`
(which packet of an answer is what), `walk` (rows in place). No sockets, no SQL, no policy.
"""
