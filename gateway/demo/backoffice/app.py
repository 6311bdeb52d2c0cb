"""The back office's routes. It knows one caller, who shows the service's token, and believes whatever that one asks.

It is what many internal APIs are: it shows every column it has, and it does not know what a customer's ticket is.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import date
from io import StringIO
from typing import Annotated, Any, Literal

import psycopg
from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import HTMLResponse, StreamingResponse
from psycopg.rows import dict_row
from psycopg.types.numeric import FloatLoader
from pydantic import BaseModel, ConfigDict

from gateway.demo.backoffice.overview import overview
from gateway.demo.data import DEPARTMENTS
from gateway.demo.served import only_with

Row = dict[str, Any]
Status = Literal["active", "on_leave", "sick_leave", "notice"]
_EMPLOYEE = "select * from public.employees where company_id = %s and id = %s"
_EXPORT = "select * from public.employees where company_id = %s order by id"
_BATCH = 500


class StatusChange(BaseModel):
    """What of an employee may be changed."""

    model_config = ConfigDict(extra="forbid")

    status: Status


def back_office(dsn: str, token: str) -> FastAPI:
    """The application over the database at `dsn`, for whoever shows `token`."""
    app = FastAPI(title="Payroll back office", version="1", docs_url=None, redoc_url=None)

    def connected() -> psycopg.Connection[Row]:
        connection = psycopg.connect(dsn, row_factory=dict_row)
        # numbers in JSON, as most APIs write amounts
        connection.adapters.register_loader("numeric", FloatLoader)
        return connection

    def rows(text: str, *parameters: object) -> list[Row]:
        with connected() as connection:
            return connection.execute(text, parameters).fetchall()

    def one(text: str, *parameters: object) -> Row:
        found = rows(text, *parameters)
        if not found:
            raise HTTPException(404, f"there is no such record: {parameters}")
        return found[0]

    def streamed(company: int) -> Iterator[Row]:
        with connected() as connection, connection.cursor("export") as cursor:
            cursor.itersize = _BATCH
            yield from cursor.execute(_EXPORT, (company,))

    only_with(app, token)

    @app.get("/companies/{company_id}")
    def company(company_id: int) -> Row:
        return one("select * from public.companies where id = %s", company_id)

    @app.get("/companies/{company_id}/employees")
    def employees(
        company_id: int,
        page: Annotated[int, Query(ge=1, le=1000)] = 1,
        per_page: Annotated[int, Query(ge=1, le=100)] = 20,
        department: Literal[tuple(DEPARTMENTS)] | None = None,  # type: ignore[valid-type]
    ) -> dict[str, Any]:
        chosen = "company_id = %s and (%s::text is null or department = %s)"
        which = (company_id, department, department)
        total = one(f"select count(*) as total from public.employees where {chosen}", *which)["total"]
        found = rows(
            f"select * from public.employees where {chosen} order by id limit %s offset %s",
            *which, per_page, (page - 1) * per_page,
        )  # fmt: skip
        return {"total": total, "page": page, "per_page": per_page, "employees": found}

    @app.get("/companies/{company_id}/employees/{employee_id}")
    def employee(company_id: int, employee_id: int) -> Row:
        return one(_EMPLOYEE, company_id, employee_id)

    @app.patch("/companies/{company_id}/employees/{employee_id}")
    def change(company_id: int, employee_id: int, to: StatusChange) -> Row:
        with connected() as connection:
            connection.read_only = False
            done = connection.execute(
                "update public.employees set status = %s where company_id = %s and id = %s",
                (to.status, company_id, employee_id),
            )
            if not done.rowcount:
                raise HTTPException(404, f"there is no employee {employee_id}")
            return connection.execute(_EMPLOYEE, (company_id, employee_id)).fetchall()[0]

    @app.get("/companies/{company_id}/employees/{employee_id}/payslips")
    def payslips(company_id: int, employee_id: int) -> dict[str, Any]:
        found = rows(
            "select p.*, e.company_id from public.payslips p join public.employees e on e.id = p.employee_id "
            "where e.company_id = %s and e.id = %s order by p.period",
            company_id, employee_id,
        )  # fmt: skip
        return {"total": len(found), "payslips": found}

    @app.get("/companies/{company_id}/overview", response_class=HTMLResponse)
    def page(company_id: int) -> HTMLResponse:
        company = one("select * from public.companies where id = %s", company_id)
        found = rows(
            "select d.label, count(*) as staff from public.employees e join public.departments d "
            "on d.code = e.department where e.company_id = %s group by d.label order by count(*) desc, d.label",
            company_id,
        )
        return HTMLResponse(overview(company, found))

    @app.get("/companies/{company_id}/export.ndjson")
    def lines(company_id: int) -> StreamingResponse:
        made = (json.dumps(row, default=_plain, ensure_ascii=False) + "\n" for row in streamed(company_id))
        return StreamingResponse(made, media_type="application/x-ndjson")

    @app.get("/companies/{company_id}/export.csv")
    def table(company_id: int) -> StreamingResponse:
        with connected() as connection:
            described = connection.execute("select * from public.employees limit 0").description or []
        names = [column.name for column in described]
        return StreamingResponse(_csv(names, streamed(company_id)), media_type="text/csv; charset=utf-8")

    return app


def _csv(names: list[str], rows: Iterator[Row]) -> Iterator[str]:
    out = StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([json.dumps(row[name]) if name == "profile" else row[name] for name in names])
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


def _plain(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"no JSON for {type(value).__name__}")
