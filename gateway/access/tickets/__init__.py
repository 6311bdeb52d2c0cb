"""Where justification tickets live, one module per kind of source."""
