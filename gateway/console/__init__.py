"""The HTTPS JSON API that the CLI speaks. It authenticates, calls `access` and `audit`, and shapes answers; it decides nothing."""
