"""Statement text in, judged and rewritten text out; pure. A room per grammar, one interface (`statement.py`). No sockets, no clock."""
