"""The back office's process: `python -m gateway.demo.backoffice SETTINGS`, a file that only its owner can read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import uvicorn

from gateway.demo.backoffice.app import back_office


def main(path: Path) -> None:
    """Serve until SIGTERM."""
    read = json.loads(path.read_text(encoding="utf-8"))
    uvicorn.run(
        back_office(read["dsn"], read["token"]), host="127.0.0.1", port=read["port"], log_level="warning",
        ssl_certfile=read["certificate"], ssl_keyfile=read["key"], lifespan="off", timeout_graceful_shutdown=5,
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
