"""One module per protocol that clients speak: sockets, session states and relaying.

Every statement goes through the gate; nothing here decides.
"""
