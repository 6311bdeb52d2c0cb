"""Bytes to messages and back, sans-io: no sockets, no policy, no decisions. Both roles of each protocol live here."""
