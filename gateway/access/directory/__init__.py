"""Who exists and in which teams, one module per kind of directory."""
