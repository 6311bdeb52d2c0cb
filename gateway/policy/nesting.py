"""Paths of one document beside each other: none may say that another is something else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.policy.http_rules import JsonPath


def misfits(paths: Mapping[JsonPath, str], lists: str = "array") -> Iterator[tuple[str, str]]:
    """The texts of paths that cannot be beside the others, each with its fault; `paths` has each by its steps."""
    for path, text in paths.items():
        for length, step in enumerate(path):
            above = path[:length]
            if above in paths:
                yield text, f"it lies below `{paths[above]}`, which is a value"
            if step == "*" and beside(paths, path, length) != {"*"}:
                yield text, f"its {lists} has fields of an object elsewhere"


def beside(paths: Mapping[JsonPath, str], path: JsonPath, length: int) -> set[str]:
    """What the paths that share a path's first `length` steps have as their next one."""
    return {other[length] for other in paths if len(other) > length and other[:length] == path[:length]}
