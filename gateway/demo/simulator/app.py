"""The sub-processor's one route: what somebody of that gross pay should get, by a rough formula.

It believes what it is sent and keeps it: nothing here knows that names are pseudonyms.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from gateway.demo.served import only_with

_CHARGES = {"executive": 0.25, "employee": 0.22}
"""What is taken off the gross pay, about, by status; France, 2026."""


class Somebody(BaseModel):
    """Whom a simulation is for."""

    model_config = ConfigDict(extra="allow")

    first_name: str
    last_name: str
    status: Literal["executive", "employee"] = "employee"


class Simulation(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="allow")

    employee: Somebody
    period: str
    gross: float


def simulator(kept: Path, token: str) -> FastAPI:
    """The application, for whoever shows `token`; it appends what it gets to `kept`."""
    app = FastAPI(title="Payslip simulator", version="1", docs_url=None, redoc_url=None)
    only_with(app, token)

    @app.post("/companies/{company_id}/simulations")
    def simulate(company_id: int, asked: Simulation) -> dict[str, Any]:
        line = json.dumps({"company_id": company_id, **asked.model_dump()}, ensure_ascii=False)
        with kept.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        net = round(asked.gross * (1 - _CHARGES[asked.employee.status]), 2)
        reference = sha256(line.encode()).hexdigest()[:12]
        # whatever `for` says is what was received: a pseudonym, if the sender saw to it
        return {"reference": reference, "period": asked.period, "net": net, "for": asked.employee.last_name}

    return app
