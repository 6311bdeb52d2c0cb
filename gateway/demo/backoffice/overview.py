"""The back office's page for people with a browser: what a company is, and how many work where; nobody's data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;color:#222}"
    "h1{margin-bottom:0}p{color:#555}table{border-collapse:collapse;width:100%}td{padding:.2rem .5rem}"
    "td:nth-child(2){text-align:right}tr:nth-child(even){background:#f3f3f3}"
)


def overview(company: Mapping[str, Any], departments: Iterable[Mapping[str, Any]]) -> str:
    """The page. `departments` have a `label` and the number of `staff`."""
    found = [(str(one["label"]), int(one["staff"])) for one in departments]
    lines = "".join(f"<tr><td>{escape(label)}</td><td>{staff}</td></tr>" for label, staff in found)
    base = f"/companies/{company['id']}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(company["name"])}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(company['name'])}</h1>"
        f"<p>Company {company['id']} · SIRET {escape(company['siret'])} · plan {escape(company['plan'])} · "
        f"{sum(staff for _, staff in found)} employees</p><table>{lines}</table>"
        f'<p><a href="{base}/employees">employees</a> · <a href="{base}/export.csv">export (CSV)</a></p>'
        "</body></html>\n"
    )
