"""Records against the JSON Schema: as much of the language as the schema uses, and an error for anything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_ANNOTATIONS = {"$schema", "$id", "title", "description"}
_TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}


def problems(value: Any, schema: dict[str, Any], at: str = "record") -> Iterator[str]:
    """What is wrong with the value."""
    for word, rule in schema.items():
        match word:
            case "type":
                if not isinstance(value, _TYPES[rule]) or (rule == "integer" and isinstance(value, bool)):
                    yield f"{at}: not of type {rule}"
                    return
            case "const":
                if value != rule or type(value) is not type(rule):
                    yield f"{at}: not {rule!r}"
            case "enum":
                if value not in rule:
                    yield f"{at}: none of {rule}"
            case "pattern":
                if re.search(rule, value) is None:
                    yield f"{at}: {value!r} does not match {rule}"
            case "minLength" | "minItems":
                if len(value) < rule:
                    yield f"{at}: too short"
            case "minimum":
                if value < rule:
                    yield f"{at}: less than {rule}"
            case "items":
                for number, item in enumerate(value):
                    yield from problems(item, rule, f"{at}[{number}]")
            case "required":
                yield from (f"{at}: no {name}" for name in rule if name not in value)
            case "properties":
                for name in value.keys() & rule.keys():
                    yield from problems(value[name], rule[name], f"{at}.{name}")
            case "additionalProperties":
                extra = value.keys() - schema.get("properties", {}).keys()
                if rule is False and extra:
                    yield f"{at}: unknown {sorted(extra)}"
                elif isinstance(rule, dict):
                    for name in extra:
                        yield from problems(value[name], rule, f"{at}.{name}")
            case "oneOf":
                tried = [list(problems(value, one, at)) for one in rule]
                if [*map(bool, tried)].count(False) != 1:
                    yield min((found for found in tried if found), key=len, default=[f"{at}: fits more than one"])[0]
            case _ if word not in _ANNOTATIONS:
                raise AssertionError(f"the checker does not know `{word}`")
