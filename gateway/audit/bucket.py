"""S3-compatible storage with object lock: put once, keep, read back. The only module that knows the library.

INVARIANT: an object is put only where none is (`If-None-Match: *`), under a lock, with its SHA-256; and is believed to
be there only once the storage has answered that it holds it under that lock until then.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from gateway.audit.archive import Taken
from gateway.audit_settings import Archive
from gateway.errors import GatewayError

_TIMEOUT_S = 30
_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412"})
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_LARGEST = 1 << 30


class Bucket:
    """One bucket, below one prefix. Each call blocks, and raises `GatewayError("archive-unavailable")`."""

    def __init__(self, settings: Archive, origin: str) -> None:
        # neither the environment nor a home directory has a say in where the trail goes
        nowhere = (None, None, os.devnull, None)
        session = Session({"profile": (None, None, None, None), "config_file": nowhere, "credentials_file": nowhere})
        self._client: Any = session.create_client(
            "s3",
            region_name=settings.region,
            endpoint_url=settings.endpoint,
            aws_access_key_id=settings.access_key.read().decode(),
            aws_secret_access_key=settings.secret_key.read().decode(),
            verify=str(settings.ca) if settings.ca is not None else True,
            config=ClientConfig(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                retries={"mode": "standard", "total_max_attempts": 3},
                connect_timeout=_TIMEOUT_S,
                read_timeout=_TIMEOUT_S,
                proxies={},
                user_agent="gateway",
            ),
        )
        self._bucket, self._mode = settings.bucket, settings.mode.upper()
        self._prefix = "/".join(part for part in (settings.prefix, origin) if part) + "/"

    def check(self) -> str:
        """What is wrong with the bucket, empty when it keeps what it is given."""
        locked = self._call("get_object_lock_configuration").get("ObjectLockConfiguration", {})
        if locked.get("ObjectLockEnabled") != "Enabled":
            return f"the bucket `{self._bucket}` has no object lock"
        if self._call("get_bucket_versioning").get("Status") != "Enabled":
            return f"the bucket `{self._bucket}` keeps no versions"
        return ""

    def put(self, name: str, data: bytes, until: datetime) -> None:
        """Put an object, locked until then. Raises `Taken`."""
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        try:
            self._call(
                "put_object", Key=self._prefix + name, Body=data, IfNoneMatch="*", ChecksumSHA256=digest,
                ChecksumAlgorithm="SHA256",
                ObjectLockMode=self._mode, ObjectLockRetainUntilDate=until, ContentType="application/octet-stream",
            )  # fmt: skip
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _TAKEN:
                raise Taken(name) from error
            raise _unavailable(error) from error
        self.confirm(name, len(data), until)

    def confirm(self, name: str, size: int, until: datetime) -> None:
        """That the object is there, of that size, and locked as long. Raises `GatewayError` when it is not."""
        held = self._call("head_object", Key=self._prefix + name)
        kept = held.get("ObjectLockRetainUntilDate")
        if held.get("ContentLength") != size or held.get("ObjectLockMode") != self._mode or kept is None:
            raise GatewayError("archive-unavailable", f"the archive does not hold `{name}` as it was told to")
        if (until - kept).total_seconds() > 1:
            raise GatewayError("archive-unavailable", f"the archive does not hold `{name}` as long as it was told to")

    def extend(self, name: str, until: datetime) -> None:
        """Lock an object for longer."""
        retention = {"Mode": self._mode, "RetainUntilDate": until}
        self._call("put_object_retention", Key=self._prefix + name, Retention=retention)

    def get(self, name: str) -> bytes:
        """An object. Raises `FileNotFoundError` when there is none."""
        try:
            found = self._call("get_object", Key=self._prefix + name)
            if int(found["ContentLength"]) > _LARGEST:
                raise GatewayError(
                    "archive-unavailable", f"`{name}` in the archive is too large to be one of its parts"
                )
            data: bytes = found["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _MISSING:
                raise FileNotFoundError(2, "it is not in the archive", name) from error
            raise _unavailable(error) from error
        except BotoCoreError as error:
            raise _unavailable(error) from error
        return data

    def names(self, folder: str) -> Iterator[str]:
        """The names below a folder, one level deep, in their order."""
        marker: dict[str, str] = {}
        while True:
            prefix = f"{self._prefix}{folder}/"
            page = self._call("list_objects_v2", Prefix=prefix, Delimiter="/", **marker)
            yield from (one["Key"].removeprefix(prefix) for one in page.get("Contents", ()))
            yield from (one["Prefix"].removeprefix(prefix).rstrip("/") for one in page.get("CommonPrefixes", ()))
            if not page.get("IsTruncated"):
                return
            marker = {"ContinuationToken": page["NextContinuationToken"]}

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _call(self, what: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, what)(Bucket=self._bucket, **arguments)
        except BotoCoreError as error:
            raise _unavailable(error) from error
        except ClientError as error:
            if what in ("put_object", "get_object"):
                raise
            if error.response.get("Error", {}).get("Code") == "ObjectLockConfigurationNotFoundError":
                return {}
            raise _unavailable(error) from error
        return answer


def _unavailable(error: Exception) -> GatewayError:
    code = error.response.get("Error", {}).get("Code", "?") if isinstance(error, ClientError) else type(error).__name__
    return GatewayError(
        "archive-unavailable", f"the archive cannot be used ({code})", "check `audit.archive` and the bucket's rights"
    )
