"""Taking note of reports over the API: what was made of the trail is a record of it, under the log's signature."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

from gateway.access.context import durable, verdict
from gateway.audit.reports import frameworks
from gateway.audit.transparency import NAME
from gateway.console.context import From, Me, Of, router
from gateway.console.problems import Refused, refuse
from gateway.console.trail import may_read, record_read
from gateway.record import event


class ReportBody(BaseModel):
    """A report: which one, the SHA-256 of its manifest, and what it is about."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    framework: Annotated[str, StringConstraints(max_length=32)]
    digest: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    customer: Annotated[str, StringConstraints(max_length=256)] = ""


class NotedAnswer(BaseModel):
    """The number of the record that takes note of a report."""

    record: int


class CategoriesAnswer(BaseModel):
    """Categories of personal data by target and column, as the policies in force name them."""

    categories: dict[str, dict[str, str]]
    version: Literal[1] = 1


def routes() -> APIRouter:
    """The routes below /v1/audit/reports."""
    found = router("audit")

    @found.post("/audit/reports")
    async def note(body: ReportBody, me: Me, of: Of, origin: From) -> NotedAnswer:
        """Take note of a report that an auditor has made; its proof is then that of any record."""
        if body.framework != NAME and body.framework not in frameworks():
            raise refuse("not-found", "there is no such report")
        asked = f"report {body.framework}" + (f" customer={body.customer}" if body.customer else "")
        refusal = may_read(of, me)
        if refusal is not None:
            await record_read(of, me, origin, query=asked, **verdict(refusal))
            raise Refused(refusal)
        await record_read(of, me, origin, query=asked, decision="permit")
        # who made it is in the record before: this one is given to outsiders
        receipt = of.trail.append(
            event(
                "audit.report", framework=body.framework, digest=body.digest,
                since=body.since.isoformat() if body.since else "", until=body.until.isoformat() if body.until else "",
                customers=[body.customer] if body.customer else [],
            )
        )  # fmt: skip
        await durable(receipt)
        return NotedAnswer(record=receipt.index)

    @found.get("/audit/categories")
    async def categories(me: Me, of: Of, origin: From) -> CategoriesAnswer:
        """What the policies call groups of columns."""
        refusal = may_read(of, me)
        if refusal is not None:
            await record_read(of, me, origin, query="categories", **verdict(refusal))
            raise Refused(refusal)
        policies = {name: policy for name in of.config.targets if (policy := of.policies(name)) is not None}
        return CategoriesAnswer(categories={
            name: {column: category for category, columns in policy.categories.items() for column in columns}
            for name, policy in policies.items()
        })  # fmt: skip

    return found
