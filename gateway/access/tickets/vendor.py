"""What the vendors' modules share: asking for many tickets one by one, and for a page of them at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from gateway.access.tickets.fields import Found, Key, mapping, scalar
from gateway.access.tickets.http import Client, unavailable
from gateway.errors import GatewayError
from gateway.ticket_settings import Remote

S = TypeVar("S", bound=Remote)


class AskedOverHttp(Generic[S]):
    """The base of a vendor: see `polled.Vendor`."""

    def __init__(self, settings: S, client: Client) -> None:
        self.settings: S = settings
        self.client = client

    def one(self, key: Key) -> Found | None:
        """The ticket as it is now."""
        raise NotImplementedError

    def many(self, keys: Collection[Key]) -> dict[Key, Found | None]:
        """One request each, a few at a time, for sources that cannot be asked about several."""
        return self.client.all_of(self.one, keys)

    def between(self, key: Key, now: Found, since: datetime) -> list[Found]:  # noqa: ARG002 - of the port
        """Nothing: no history is kept, or none that says enough."""
        return []

    def named_in(self, news: Mapping[str, Any]) -> list[str]:
        """What `id`, `ticket` or `number` of the document says: for sources whose webhooks people write themselves."""
        return [text for name in ("id", "ticket", "number") if (text := scalar(news.get(name)))]

    def comment(self, key: Key, text: str, marker: str, *, again: bool) -> None:  # noqa: ARG002 - of the port
        """Put a comment on the ticket."""
        raise self.unusable(f"comments on {key.project} are not supported")

    def close(self) -> None:
        """Join the threads."""
        self.client.close()

    def unusable(self, detail: str) -> GatewayError:
        """The refusal for an answer that is not what the vendor documents."""
        return unavailable(self.settings, detail)

    def object(self, value: Any) -> Mapping[str, Any]:
        """The answer, which has to be an object."""
        if not isinstance(value, dict):
            raise self.unusable("its answer is not an object")
        return value

    def items(self, value: Any, name: str) -> list[Mapping[str, Any]]:
        """The list of objects of that name, which has to be there."""
        found = mapping(value).get(name) if name else value
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self.unusable(f"its answer has no list `{name}`")
        return found

    def commented(self, comments: Sequence[Mapping[str, Any]], field: str, marker: str) -> bool:
        """Whether one of the comments has the marker."""
        return any(marker in str(one.get(field, "")) for one in comments)


def by_project(keys: Collection[Key], size: int) -> Iterator[tuple[str, list[Key]]]:
    """The keys of each scope in groups of that size at the most."""
    scopes: dict[str, list[Key]] = {}
    for key in keys:
        scopes.setdefault(key.scope, []).append(key)
    for scope, members in scopes.items():
        for start in range(0, len(members), size):
            yield scope, members[start : start + size]
