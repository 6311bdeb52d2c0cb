"""The table of mask cases through the gateway's HTTP engine: as in PostgreSQL (`test_masks_live.py`), and as in Python.

An API answers with every value of the table; a client of the gateway gets what the table says. The keyed masks of a
gateway have its own key, so they are compared with what that key makes of the value, in the function that the table
holds to PostgreSQL.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from http_house import ODD, HttpHouse, open_http_house
from ruamel.yaml import YAML

from gateway.demo.company import TARGET
from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported
from gateway.policy.kinds import KINDS, checked
from gateway.policy.masks import derive_key, render
from gateway.policy.types import column_type

pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

CORPUS = Path(__file__).parents[1] / "corpus" / "masks"
GROUPS = [group for file in sorted(CORPUS.glob("*.yaml")) for group in YAML(typ="safe").load(file)]
NAMES = [f"g{number}" for number in range(len(GROUPS))]
POLICY = """
target: {target}
access:
  teams: [support]
  ticket: {{projects: [SUP], states: [open, in_progress]}}
  duration: {{default: 1h, max: 8h}}
  auto_approve: masked_reads
  approvers: {{teams: [security]}}
"""


def policy() -> str:
    """One answer with a field for each group of cases."""
    fields = {f"$.{name}[*].v": {**group["mask"], "type": group["type"]} for name, group in zip(NAMES, GROUPS)}  # noqa: B905
    route = {
        "get": "/companies/{company_id}/cases",
        "path": {"company_id": "integer"},
        "customer": "path.company_id",
        "answers": {200: {"media": "json", "fields": fields}},
    }
    out = StringIO()
    YAML(typ="safe").dump({"http": {"routes": {"cases": route}}}, out)
    return POLICY + out.getvalue().replace("{", "{{").replace("}", "}}")


def spelled(value: str | None, declared: str) -> str:
    """A column's value as a JSON API writes it."""
    group = column_type(declared).group
    if value is None:
        return "null"
    if group in {"jsonb", "json"}:
        return value
    if group == "boolean":
        return {"t": "true", "f": "false"}[value]
    return json.dumps(value) if group != "array" else "[]"


def comparable(value: Any, declared: str) -> Any:
    """What came out, or what the table says, so that the two compare as values do."""
    group = column_type(declared).group
    if value is None:
        return None
    if group in {"jsonb", "json"}:
        return json.loads(value, parse_float=Decimal, parse_int=Decimal) if isinstance(value, str) else value
    if group == "float":
        return float(value)
    if isinstance(value, bool):
        return "t" if value else "f"
    return "{}" if value == [] else str(value)


@pytest.fixture(scope="module")
def answered(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, bytes]]:
    """What a client gets of all cases, and the key of the gateway's masks."""
    parts = (
        f'"{name}":[' + ",".join(f'{{"v":{spelled(value, group["type"])}}}' for value, _ in group["cases"]) + "]"
        for name, group in zip(NAMES, GROUPS, strict=True)
    )
    body = ("{" + ",".join(parts) + "}").encode()
    with open_http_house(tmp_path_factory.mktemp("masks"), postgres, policy=policy()) as place:

        def take(sock: ssl.SSLSocket, _: bytes) -> None:
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            sock.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)

        place.odd.script = take
        with place.client(place.opened(target=ODD)) as client:
            answer = client.get("/companies/42/cases")
        assert answer.status_code == 200, answer.text
        yield json.loads(answer.text, parse_float=Decimal, parse_int=Decimal), key_of(place)


def key_of(place: HttpHouse) -> bytes:
    return derive_key((place.house.company.directory / "master.key").read_bytes().strip(), "target", TARGET)


@pytest.mark.parametrize(("name", "group"), list(zip(NAMES, GROUPS, strict=True)), ids=NAMES)
def test_what_a_client_of_an_api_gets_is_what_the_table_of_masks_says(
    answered: tuple[Any, bytes], name: str, group: dict[str, Any]
) -> None:
    document, key = answered
    options = dict(group["mask"])
    mask, declared = checked(options.pop("mask"), options), group["type"]
    keyed = KINDS[mask.kind].keyed or mask.kind == "json"
    # an API's null is the column's NULL, whatever a jsonb column distinguishes
    cases = [
        (value, render(mask, value, key, declared) if keyed else wanted, made["v"])
        for (value, wanted), made in zip(group["cases"], document[name], strict=True)
        if (declared, value) != ("jsonb", "null")
    ]
    got = [comparable(made, declared) for _, _, made in cases]
    assert got == [comparable(wanted, declared) for _, wanted, _ in cases]
