"""People of an OpenID Connect provider: asking it, believing what it signed, and remembering whom it proved."""
