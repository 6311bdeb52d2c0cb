"""The sub-processor's process: `python -m gateway.demo.simulator SETTINGS`, a file that only its owner can read."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.demo.served import serve, settings_of
from gateway.demo.simulator.app import simulator

if __name__ == "__main__":
    settings = settings_of(Path(sys.argv[1]))
    serve(simulator(Path(settings["kept"]), settings["token"]), settings)
