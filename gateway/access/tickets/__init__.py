"""Where justification tickets live: one module per kind of source, one HTTP client for the remote ones, and what
makes one source of them all."""
