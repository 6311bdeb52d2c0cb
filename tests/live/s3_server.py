"""moto's S3 server as a process of its own, on a free loopback port, with a bucket that has object lock."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
from botocore.config import Config
from botocore.session import Session

from gateway.audit_settings import Archive
from gateway.demo.ports import free_port

BUCKET = "trail"


class S3:
    """The server; `client` is an administrator who would change or delete what is there."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self.client: Any = Session().create_client(
            "s3", region_name="us-east-1", endpoint_url=url, aws_access_key_id="k", aws_secret_access_key="s",
            config=Config(s3={"addressing_style": "path"}, proxies={}),
        )  # fmt: skip
        for name in ("access", "secret"):
            path = directory / f"s3.{name}"
            path.write_text("testing\n")
            path.chmod(0o600)
        self.directory = directory

    def bucket(self, name: str = BUCKET, *, lock: bool = True) -> str:
        """A new bucket."""
        self.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
        return name

    def settings(self, bucket: str = BUCKET, **more: Any) -> Archive:
        """How a gateway is told of it."""
        return Archive(endpoint=self.url, bucket=bucket, access_key={"file": self.directory / "s3.access"},
                       secret_key={"file": self.directory / "s3.secret"}, **more)  # fmt: skip

    def keys(self, bucket: str = BUCKET) -> list[str]:
        """All objects."""
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=bucket).get("Contents", ())]

    def overwrite(self, key: str, data: bytes, bucket: str = BUCKET) -> None:
        """What somebody with the right to put can do: another version on top of the locked one."""
        self.client.put_object(Bucket=bucket, Key=key, Body=data)


@contextlib.contextmanager
def s3_server(directory: Path) -> Iterator[S3]:
    """Start it, and stop it by its pid."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (directory / "s3.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(300):
                with contextlib.suppress(httpx2.TransportError):
                    httpx2.get(f"{url}/moto-api/", trust_env=False)
                    break
                assert process.poll() is None, (directory / "s3.log").read_text()
                time.sleep(0.1)
            found = S3(url, directory)
            yield found
            found.client.close()
        finally:
            process.terminate()
            process.wait(20)
