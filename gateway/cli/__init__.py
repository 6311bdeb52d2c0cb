"""What people type: argument parsing and presentation.

Every command is a call of the API or of a module below; no rule lives here. Data goes to stdout, messages to stderr.
"""

from gateway.cli.app import commands, main

__all__ = ["commands", "main"]
