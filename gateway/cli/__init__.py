"""What people type: argument parsing and presentation. Every command is a call of the API or of a module below."""
