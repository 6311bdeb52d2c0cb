"""Measurements under load: how fast the gateway is beside a direct connection and pgbouncer, and ten people at work.

Everything that is measured is started here, on loopback, on free ports, in a temporary directory, and stopped by its
process id. Nothing here is imported by the gateway, and nothing here replaces a part of it: the gateway that is
measured is the one that `gateway serve` runs, with a person, a second factor, a ticket, a pass and a durable trail.
"""
