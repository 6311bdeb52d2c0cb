"""PostgreSQL on its own parse tree: parse, rewrite, check. `postgast` is imported here and nowhere else."""
