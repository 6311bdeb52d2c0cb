"""People, factors, tickets, requests, grants, passes: who may come in and until when.

No SQL statement is judged here: one that waits for its approval is kept, shown to who decides, and spent once.
"""
