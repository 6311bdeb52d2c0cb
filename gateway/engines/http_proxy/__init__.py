"""The process that speaks HTTP with clients and APIs, on mitmproxy (Python >= 3.12), apart from the gate.

It decides nothing: it asks the gate over the socket that it was born with, forwards what was permitted, and releases of
an answer what its policy leaves of it and what was announced. Nothing else of the gateway imports this package, and
this is the only place where mitmproxy is imported.
"""
