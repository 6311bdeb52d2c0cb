"""The HTTPS JSON API that the CLI speaks, and the operations port.

It authenticates, calls `access` and `audit`, and shapes answers; it decides nothing. No SQL, no policy, no page
templates, and no secret in a URL, a header of an answer, or a log line.
"""
