"""What gateways on one store share within milliseconds, in Redis: failed attempts, used codes, budgets, news. Nothing
here is the only place of anything that must not be forgotten; `shared.py` says how forgetting is noticed and mended.
"""
