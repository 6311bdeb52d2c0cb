"""The tamper-evident trail: records made durable, hashed into a tree, signed, searched, verified. Judges no access."""
