"""ServiceNow: the Table API, https://www.servicenow.com/docs/bundle/latest/page/integrate/inbound-rest/concept/c_TableAPI.html

A record is found by its number; each field comes with its value and what is shown for it (`sysparm_display_value=all`):
paths end in `.value` or `.display_value`, and go through references with a dot in the field's own name written as `/`
(`company/account_number.value` asks for `company.account_number`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gateway.access.tickets.fields import Account, Found, Key, mapping, moment, scalar
from gateway.access.tickets.http import Client
from gateway.access.tickets.vendor import AskedOverHttp, by_project
from gateway.ticket_settings import ServiceNow

_BATCH = 100
_ALWAYS = (
    "number", "sys_id", "short_description", "state", "assigned_to", "assigned_to.user_name", "assigned_to.email",
    "sys_updated_on",
)  # fmt: skip


class ServiceNowTickets(AskedOverHttp[ServiceNow]):
    """See the module. What a project stands for is the table."""

    def __init__(self, settings: ServiceNow, client: Client) -> None:
        super().__init__(settings, client)
        taken = [settings.customer, *([settings.team] if settings.team else [])]
        asked = [one.field.partition(".")[0].replace("/", ".") for one in taken]
        self._fields = ",".join(dict.fromkeys((*_ALWAYS, *asked)))

    def one(self, key: Key) -> Found | None:
        """The record of that number."""
        return self.many([key])[key]

    def many(self, keys: Collection[Key]) -> dict[Key, Found | None]:
        """Each table's records by their numbers."""
        found: dict[Key, Found | None] = {}
        for table, group in by_project(keys, _BATCH):
            by_number: dict[str, list[Mapping[str, Any]]] = {}
            for record in self._records(table, [key.id for key in group]):
                by_number.setdefault(_shown(record, "number"), []).append(record)
            for key in group:
                records = by_number.get(key.id, [])
                if len(records) > 1:
                    raise self.unusable("two records have the same number")
                found[key] = self._found(key, records[0]) if records else None
        return found

    def comment(self, key: Key, text: str, marker: str, *, again: bool) -> None:
        """A work note, which the caller does not see."""
        records = self._records(key.scope, [key.id])
        id_ = _shown(records[0], "sys_id") if len(records) == 1 else ""
        if not id_:
            raise self.unusable("the record to comment on is not there")
        if again:
            query = ("sysparm_query", f"element_id={id_}^element=work_notes^valueLIKE{marker}")
            params = [query, ("sysparm_fields", "sys_id"), ("sysparm_limit", "1")]
            if self.items(self.client.get("api", "now", "table", "sys_journal_field", params=params).json, "result"):
                return
        path = ("api", "now", "table", key.scope, id_)
        answer = self.client.send("PATCH", path, body={"work_notes": f"{text} {marker}"})
        if answer.status != 200:
            raise self.unusable(f"a work note was answered with {answer.status}")

    def _records(self, table: str, numbers: list[str]) -> list[Mapping[str, Any]]:
        # INVARIANT: numbers are letters and digits (`key_of`), so none of them can add to the query
        params = [
            ("sysparm_query", f"numberIN{','.join(numbers)}"),
            ("sysparm_display_value", "all"),
            ("sysparm_fields", self._fields),
            ("sysparm_limit", str(2 * len(numbers))),
        ]
        answer = self.client.get("api", "now", "table", table, params=params)
        if answer.status == 404:
            return []
        if answer.status != 200:
            raise self.unusable(f"a table was answered with {answer.status}")
        return self.items(answer.json, "result")

    def _found(self, key: Key, record: Mapping[str, Any]) -> Found:
        status = _shown(record, "state", "display_value")
        if not status:
            raise self.unusable("a record has no state")
        who = Account(
            _shown(record, "assigned_to"), _shown(record, "assigned_to.user_name"), _shown(record, "assigned_to.email")
        )
        title = mapping(record.get("short_description")).get("display_value")
        return Found(
            title=title or "",
            status=status,
            accounts=(who,) if who.id else (),
            facts={name.replace(".", "/"): value for name, value in record.items()},
            url=f"{self.settings.url}/nav_to.do?uri={key.scope}.do?sys_id={_shown(record, 'sys_id')}",
            updated_at=moment(_shown(record, "sys_updated_on")),
        )


def _shown(record: Mapping[str, Any], name: str, which: str = "value") -> str:
    return scalar(mapping(record.get(name)).get(which))
