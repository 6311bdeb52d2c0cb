"""HTTP without sockets: which request may go on and as what, and what of the upstream's answer may leave. Pure
functions and small machines over bytes; the engine that speaks HTTP, the grants and the trail are elsewhere.
"""
