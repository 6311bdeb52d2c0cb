"""The back office's process: `python -m gateway.demo.backoffice SETTINGS`, a file that only its owner can read."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.demo.backoffice.app import back_office
from gateway.demo.served import serve, settings_of

if __name__ == "__main__":
    settings = settings_of(Path(sys.argv[1]))
    serve(back_office(settings["dsn"], settings["token"]), settings)
