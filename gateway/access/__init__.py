"""People, factors, tickets, requests, grants, passes: who may come in and until when.

No SQL statement is looked at here.
"""
