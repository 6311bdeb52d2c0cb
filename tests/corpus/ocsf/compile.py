"""Writes `classes.json`: what the Open Cybersecurity Schema Framework publishes of the classes that exports use.

    python tests/corpus/ocsf/compile.py CHECKOUT > tests/corpus/ocsf/classes.json

CHECKOUT is a copy of https://github.com/ocsf/ocsf-schema (Apache License 2.0) at the version of `VERSION`. Classes and
the objects below are resolved along `extends`; attributes that only a profile brings are left out, captions are kept
where they are names of numbers, texts are not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

VERSION = "1.8.0"
CLASSES = (
    *("base_event", "event_log_activity", "detection_finding", "account_change", "authentication", "entity_management"),
    *("user_access", "application_lifecycle", "api_activity", "datastore_activity"),
)
OBJECTS = (
    *("metadata", "product", "user", "group", "actor", "session", "network_endpoint", "service", "database", "table"),
    *("query_info", "managed_entity", "policy", "finding_info", "api", "device", "auth_factor", "organization"),
)


def main(root: Path) -> dict[str, Any]:
    """The resolved tables."""
    version = json.loads((root / "version.json").read_text())["version"]
    assert version == VERSION, version
    dictionary = json.loads((root / "dictionary.json").read_text())
    categories = json.loads((root / "categories.json").read_text())["attributes"]
    sources = {"events": _by_file(root / "events"), "objects": _by_file(root / "objects")}
    classes = {}
    for name in CLASSES:
        resolved = _resolved(sources["events"], name)
        category = categories[resolved["category"]] if resolved["category"] != "other" else {"uid": 0, "caption": ""}
        uid = category["uid"] * 1000 + resolved.get("uid", 0)
        classes[str(uid)] = {
            "caption": resolved["caption"],
            "category_uid": category["uid"],
            "category_name": category["caption"] or "Uncategorized",
            "attributes": _attributes(resolved, dictionary),
            "constraints": resolved["constraints"],
        }
    objects = {}
    for name in OBJECTS:
        resolved = _resolved(sources["objects"], name)
        objects[name] = {"attributes": _attributes(resolved, dictionary), "constraints": resolved["constraints"]}
    types = {
        name: {key: one[key] for key in ("type", "regex", "range", "max_len", "values") if key in one}
        for name, one in sorted(dictionary["types"]["attributes"].items())
    }
    licence = "Apache-2.0; https://github.com/ocsf/ocsf-schema"
    return {"version": version, "licence": licence, "types": types, "classes": classes, "objects": objects}


def _by_file(directory: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(directory.rglob("*.json"))}


def _resolved(sources: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    source = sources[name]
    parent = source.get("extends")
    base = _resolved(sources, parent) if parent else {"attributes": {}, "constraints": {}, "category": "other"}
    merged = {**base, **{key: value for key, value in source.items() if key not in ("attributes", "extends")}}
    merged["constraints"] = source.get("constraints", base["constraints"])
    attributes = {key: dict(value) for key, value in base["attributes"].items()}
    for key, value in source["attributes"].items():
        if key == "$include":
            continue
        known = attributes.setdefault(key, {})
        numbers = {**known.get("enum", {}), **value.get("enum", {})}
        known.update(value)
        if numbers:
            known["enum"] = numbers
    merged["attributes"] = attributes
    return merged


def _attributes(resolved: dict[str, Any], dictionary: dict[str, Any]) -> dict[str, Any]:
    table = {}
    for name, own in sorted(resolved["attributes"].items()):
        if own.get("profile"):
            continue
        general = dictionary["attributes"][name]
        numbers = {**general.get("enum", {}), **own.get("enum", {})}
        kind = own.get("object_type") or general.get("object_type") or own.get("type") or general["type"]
        table[name] = {"type": kind, "requirement": own.get("requirement", "optional")}
        if own.get("is_array", general.get("is_array")):
            table[name]["is_array"] = True
        # the numbers of class and category are the class's own
        if numbers and name not in ("category_uid", "class_uid", "type_uid"):
            table[name]["enum"] = {key: value["caption"] for key, value in numbers.items()}
        if "sibling" in general:
            table[name]["sibling"] = general["sibling"]
    return table


if __name__ == "__main__":
    json.dump(main(Path(sys.argv[1])), sys.stdout, indent=1, sort_keys=True)
    print()
