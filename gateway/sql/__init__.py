"""Statement text in, judged and rewritten text out; pure: no sockets, no clock.

A room per grammar, one interface (`statement.py`).
"""
