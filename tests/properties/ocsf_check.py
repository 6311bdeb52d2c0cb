"""Events against the published class attributes of OCSF: `tests/corpus/ocsf/classes.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[1] / "corpus" / "ocsf" / "classes.json").read_text())
_PLAIN: dict[str, Any] = {"string_t": str, "integer_t": int, "long_t": int, "boolean_t": bool, "float_t": float}


def ocsf_problems(event: dict[str, Any]) -> list[str]:
    """What is wrong with an event."""
    known = SCHEMA["classes"].get(str(event.get("class_uid")))
    if known is None:
        return [f"no class {event.get('class_uid')}"]
    found = list(_object(event, known, "event"))
    if event.get("category_uid") != known["category_uid"]:
        found.append("event: another category")
    if event.get("class_name") != known["caption"] or event.get("category_name") != known["category_name"]:
        found.append("event: another name of the class or the category")
    if event.get("type_uid") != event["class_uid"] * 100 + event["activity_id"]:
        found.append("event: type_uid is class_uid * 100 + activity_id")
    return found


def _object(value: dict[str, Any], known: dict[str, Any], at: str) -> Iterator[str]:
    attributes = known["attributes"]
    for name in value.keys() - attributes.keys():
        yield f"{at}: unknown attribute {name}"
    for name, rule in attributes.items():
        if name not in value:
            if rule["requirement"] == "required":
                yield f"{at}: no {name}"
            continue
        yield from _attribute(value[name], rule, f"{at}.{name}")
        sibling = rule.get("sibling")
        if "enum" in rule and sibling in attributes and isinstance(value[name], int):
            caption = rule["enum"].get(str(value[name]))
            if name == "type_uid":
                continue
            if value[name] == 99 and not value.get(sibling):
                yield f"{at}: {name} is 99 without {sibling}"
            elif value[name] != 99 and sibling in value and value[sibling] != caption:
                yield f"{at}: {sibling} is {value[sibling]!r}, not {caption!r}"
    for rule, names in known["constraints"].items():
        count = sum(name in value for name in names)
        if (rule == "at_least_one" and not count) or (rule == "just_one" and count != 1):
            yield f"{at}: {rule} of {names}"


def _attribute(value: Any, rule: dict[str, Any], at: str) -> Iterator[str]:
    if rule.get("is_array"):
        if not isinstance(value, list) or not value:
            yield f"{at}: not a list of some"
            return
        for number, one in enumerate(value):
            yield from _one(one, rule, f"{at}[{number}]")
    else:
        yield from _one(value, rule, at)


def _one(value: Any, rule: dict[str, Any], at: str) -> Iterator[str]:
    kind = rule["type"]
    if kind == "object":
        if not isinstance(value, dict):
            yield f"{at}: not an object"
    elif kind in SCHEMA["objects"]:
        if not isinstance(value, dict) or not value:
            yield f"{at}: not an object with something in it"
        else:
            yield from _object(value, SCHEMA["objects"][kind], at)
    elif kind in SCHEMA["types"]:
        yield from _plain(value, kind, at)
        if "enum" in rule and str(value) not in rule["enum"]:
            yield f"{at}: {value!r} is none of {sorted(rule['enum'])}"
    else:
        yield f"{at}: an object `{kind}` that the tables do not hold; add it to compile.py"


def _plain(value: Any, kind: str, at: str) -> Iterator[str]:
    facts = SCHEMA["types"][kind]
    base = facts.get("type", kind)
    if base == "json_t":
        return
    if type(value) is not _PLAIN[base]:
        yield f"{at}: {value!r} is no {kind}"
        return
    if "regex" in facts and re.search(facts["regex"], value) is None:
        yield f"{at}: {value!r} is no {kind}"
    if "range" in facts and not facts["range"][0] <= value <= facts["range"][1]:
        yield f"{at}: {value!r} is out of range"
    if "max_len" in facts and len(value) > facts["max_len"]:
        yield f"{at}: too long"
