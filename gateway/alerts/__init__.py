"""Security events: rules over the trail, cases that departments close, and telling people outside of the gateway.

What happened comes from durable records alone. Nothing here stands on a statement's path or decides about access.
"""
