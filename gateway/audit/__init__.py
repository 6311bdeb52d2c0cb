"""The tamper-evident trail: records made durable, hashed into a Merkle tree, signed, searched, verified. No decisions about access."""
