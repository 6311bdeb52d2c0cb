"""Alert rules as data: which records, how many, by whom, within which time, and how bad that is.

A rule looks at records that fit `when` (every field named has one of the values; `contains` looks into a text). Without
more, each is an event. `at_least` wants that many within `within` for the same `by`; `distinct` that many different
values of a field; `after` an earlier record (or several) of another condition for the same `by`; `absent` that the same
`by` was not seen for so long; `outside` that the time is outside working hours; `peers` that a sum is that many times
what others of the same day have; `silent` that no record came at all. The built-in rules are `rules.yaml` beside this
module; a file of one's own adds to them, replaces those of the same name, and `enabled: false` takes one out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, tzinfo
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.config import read_model
from gateway.record import ENVELOPE, KINDS
from gateway.settings import Seconds

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")

_FIELDS = frozenset(ENVELOPE).union(*KINDS.values())
HOST = "host"
"""What `distinct` may count beside a record's own fields."""
_LONGEST_S = 31 * 86_400.0


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


Values = Annotated[tuple[str | int | bool, ...], BeforeValidator(_listed), Field(min_length=1)]
FieldName = Annotated[str, Field(pattern="^[a-z_]+$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(_Part):
    """Which records: every field in `when` has one of the values, every text in `contains` holds one of the pieces."""

    kind: Values
    when: dict[FieldName, Values] = {}
    contains: dict[FieldName, Values] = {}

    @model_validator(mode="after")
    def _known(self) -> Condition:
        for kind in self.kind:
            if kind not in KINDS:
                raise ValueError(f"there is no kind of record `{kind}`")
            for name in (*self.when, *self.contains):
                if name not in KINDS[str(kind)] and name not in ENVELOPE:
                    raise ValueError(f"a `{kind}` record has no field `{name}`")
        return self

    def fits(self, record: Mapping[str, Any]) -> bool:
        """Whether the record is one of them."""
        if record.get("kind") not in self.kind:
            return False
        for name, values in self.when.items():
            found = record.get(name)
            if not any(one in values for one in (found if isinstance(found, list) else [found])):
                return False
        return all(
            any(str(piece) in str(record.get(name, "")) for piece in pieces) for name, pieces in self.contains.items()
        )


class After(Condition):
    """What must have come before, so many times."""

    at_least: int = Field(default=1, ge=1, le=10_000)


class Hours(_Part):
    """Working hours: `days` 1 (Monday) to 7, from `start` to `end` in the time zone `zone`."""

    days: frozenset[int] = frozenset({1, 2, 3, 4, 5})
    start: time = time(7)
    end: time = time(20)
    zone: str = "UTC"

    @model_validator(mode="after")
    def _known(self) -> Hours:
        try:
            _zone(self.zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"there is no time zone `{self.zone}`") from error
        return self

    def contain(self, moment: datetime) -> bool:
        """Whether the moment is within them."""
        local = moment.astimezone(_zone(self.zone))
        return local.isoweekday() in self.days and self.start <= local.time() < self.end


class Distinct(_Part):
    """So many different values of a field; of a list, of its items. `host` is the `address` without its port."""

    field: FieldName
    at_least: int = Field(ge=2, le=10_000)


class Peers(_Part):
    """A day's sum of `field` that is `times` the median of the others' who have any, and `at_least` so much."""

    field: FieldName
    times: float = Field(default=10.0, gt=1)
    at_least: int = Field(default=1_000, ge=1)


class Rule(Condition):
    """One rule. `by` names the fields that say whose an event is; a case collects events of one rule and one `by`."""

    name: str = Field(pattern="^[a-z][a-z0-9-]{1,62}$")
    title: str = Field(min_length=1, max_length=200)
    severity: Severity
    enabled: bool = True
    kind: Values = ()
    by: tuple[FieldName, ...] = ("person",)
    within: Seconds = 600.0
    at_least: int = Field(default=1, ge=1, le=100_000)
    distinct: Distinct | None = None
    after: After | None = None
    absent: Seconds | None = None
    outside: Hours | None = None
    peers: Peers | None = None
    silent: Seconds | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Rule:
        ways = [name for name in ("distinct", "after", "absent", "outside", "peers", "silent") if getattr(self, name)]
        if self.enabled and not self.kind and self.silent is None:
            raise ValueError("`kind` is missing: which records the rule is about")
        if len(ways) > 1:
            raise ValueError(f"a rule has one of `{'`, `'.join(ways)}`")
        unknown = [name for name in (*self.by, *_used(self)) if name not in _FIELDS]
        if unknown:
            raise ValueError(f"no record has a field `{unknown[0]}`")
        if max(self.within, self.absent or 0.0) > _LONGEST_S:
            raise ValueError("a rule looks back 31 days at the most")
        return self


class Rules(_Part):
    """A file of rules."""

    rules: tuple[Rule, ...]


def load_rules(path: Path | None) -> tuple[Rule, ...]:
    """The rules in force: the built-in ones, with those of the file. Raises `GatewayError("configuration-invalid")`."""
    built_in = Path(str(files("gateway.alerts").joinpath("rules.yaml")))
    found = {rule.name: rule for rule in read_model(built_in, Rules).rules}
    if path is not None:
        found |= {rule.name: rule for rule in read_model(path, Rules).rules}
    return tuple(rule for rule in found.values() if rule.enabled)


def _zone(name: str) -> tzinfo:
    # a machine may have no table of time zones
    return UTC if name == "UTC" else ZoneInfo(name)


def _used(rule: Rule) -> tuple[str, ...]:
    counted = (rule.distinct, rule.peers)
    return tuple(one.field for one in counted if one is not None and (one is rule.peers or one.field != HOST))
