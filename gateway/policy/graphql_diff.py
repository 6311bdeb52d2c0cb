"""What the operations of one route of GraphQL let through or show that those of another do not; part of `http_diff.py`.

INVARIANT: no difference is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.policy.difference import CHANGED, NARROWER, WIDER, Difference, mask_text, of_sets, of_values, unmasking
from gateway.policy.graphql_load import typed
from gateway.policy.http_rules import FieldRule, GraphqlOperation, GraphqlRules, JsonPath, OwnedRule, Value
from gateway.policy.http_values import called

APPROVED = {"statement": 0, "request": 1, "": 2}
"""How little stands before a write."""


def differences(what: str, old: GraphqlRules | None, new: GraphqlRules | None) -> Iterator[Difference]:
    """All differences; None is for a route that takes no GraphQL."""
    before, after = ({(one.kind, one.field): one for one in of.operations} if of else {} for of in (old, new))
    if old is not None and new is not None:
        yield from of_sets(f"{what}.types", old.types, new.types)
        for bound in ("root_fields", "selections", "depth", "max_bytes"):
            least, most = getattr(old, bound), getattr(new, bound)
            if least != most:
                yield Difference(WIDER if most > least else NARROWER, f"{what}.{bound}", str(least), str(most))
    elif old is not new:
        yield Difference(WIDER if old is None else NARROWER, what, "GraphQL" if old else "", "GraphQL" if new else "")
    for kind, field in sorted(before.keys() | after.keys()):
        one, other = before.get((kind, field)), after.get((kind, field))
        here = f"{what}.{kind}.{field}"
        if one is None or other is None:
            yield Difference(WIDER if one is None else NARROWER, here, kind if one else "", kind if other else "")
        nothing = GraphqlOperation(kind, field)
        yield from _operation(here, one or nothing, other or nothing, is_new=one is None or other is None)


def shown(what: str, old: Iterable[FieldRule], new: Iterable[FieldRule]) -> Iterator[Difference]:
    """Which fields of answers are shown otherwise."""
    before, after = ({called(rule): rule for rule in rules} for rules in (old, new))
    for path in sorted(before.keys() | after.keys()):
        one, other = before.get(path), after.get(path)
        masks = [rule.mask if rule is not None else None for rule in (one, other)]
        if masks[0] != masks[1]:
            yield Difference(unmasking(*masks), f"{what}.{path}", *map(mask_text, masks))
        if one is not None and other is not None:
            for part in ("path", "type", "identifier", "reveal", "category"):
                yield from of_values(f"{what}.{path}.{part}", getattr(one, part), getattr(other, part))


def value_text(value: Value, *, required: bool = False, repeated: bool = False) -> str:
    """What a value may be, in words."""
    bounds: dict[str, object] = {
        "from": value.minimum,
        "to": value.maximum,
        "at most": f"{value.max_length} characters" if value.type == "string" else None,
        "like": value.pattern or None,
        "one of": "|".join(value.choices) or None,
    }
    words = [value.type, *(f"{word} {bound}" for word, bound in bounds.items() if bound is not None)]
    return ", ".join([*words, *(["required"] if required else []), *(["repeated"] if repeated else [])])


def _operation(what: str, old: GraphqlOperation, new: GraphqlOperation, *, is_new: bool) -> Iterator[Difference]:
    if old.approval != new.approval and not is_new:
        effect = WIDER if APPROVED[new.approval] > APPROVED[old.approval] else NARROWER
        yield Difference(effect, f"{what}.write", old.approval, new.approval)
    if not is_new:
        before, after = (_places(of) for of in (old, new))
        if before != after:
            effect = NARROWER if before < after else WIDER if after < before else CHANGED
            yield Difference(effect, f"{what}.customer", *(", ".join(sorted(of)) or "none" for of in (before, after)))
    sent = [_arguments(of) for of in (old, new)]
    for name in sorted(sent[0].keys() | sent[1].keys()):
        texts = [found.get(name, "") for found in sent]
        if texts[0] != texts[1]:
            yield Difference(CHANGED if all(texts) else WIDER if texts[1] else NARROWER, f"{what}.{name}", *texts)
    for part in ("arrays", "objects"):
        yield from _owned(f"{what}.{part}", getattr(old, part), getattr(new, part), is_new=is_new)
    yield from shown(what, old.fields, new.fields)


def _places(of: GraphqlOperation) -> set[str]:
    return {f"{one.place}.{one.name}{typed(one.path)}" for one in of.customers} | {
        f"answer.{typed(path)}" for path in of.owners
    }


def _arguments(of: GraphqlOperation) -> dict[str, str]:
    """The arguments that may be sent, by where."""
    return {
        f"{typed(field.path)}({typed(one.path)})": ", ".join(
            filter(
                None, [value_text(one.value, required=one.required), one.kind, "or null" if one.nullable else ""]
            )
        )
        for field in of.arguments
        for one in field.arguments
    }  # fmt: skip


def _owned(
    what: str, old: Iterable[OwnedRule], new: Iterable[OwnedRule], *, is_new: bool
) -> Iterator[Difference]:  # fmt: skip
    before, after = ({_path(rule.path): _text(rule) for rule in rules} for rules in (old, new))
    for path in sorted(before.keys() | after.keys()):
        one, other = before.get(path, ""), after.get(path, "")
        if one != other:
            # what is filtered shows less; of a new operation it is a part of what is new
            effect = CHANGED if (one and other) or is_new else WIDER if one else NARROWER
            yield Difference(effect, f"{what}.{path}", one, other)


def _text(rule: OwnedRule) -> str:
    counted = f", counted by {_path(rule.count)}" if rule.count is not None else ""
    return f"of {' or '.join(map(_path, rule.customers))}{counted}"


def _path(path: JsonPath) -> str:
    return typed(path)
