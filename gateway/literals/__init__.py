"""The values in statements: sealed where two people can open them, recognised by tokens, erased by destroying keys.

Here live the keys (`keyring.py`), the files (`blobs.py`), the seal that every statement passes (`seal.py`), what a
value is recognised by (`values.py`), opening and erasing (`opening.py`, `erasing.py`), and the door to all of it
(`service.py`). No SQL, no sockets, and no literal that is not sealed outlives the call that brought it.
"""
