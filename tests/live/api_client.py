"""The gateway's API as people use it, each signed in once."""

from __future__ import annotations

import ssl
from typing import Any

import httpx2
from gateway_fixture import House


class Api:
    """The API, as each person signed in once."""

    def __init__(self, house: House) -> None:
        context = ssl.create_default_context(cafile=str(house.company.tls.ca))
        self.client = httpx2.Client(
            base_url=f"https://localhost:{house.company.ports['api']}/v1", verify=context, trust_env=False, timeout=20
        )
        self.tokens: dict[str, str] = {}
        self.house = house

    def __call__(self, login: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        if login not in self.tokens:
            actor = self.house.actor(login)
            actor.sign_in()
            self.tokens[login] = actor._token
        headers = {"authorization": f"Bearer {self.tokens[login]}"}
        if body is None:
            answer = self.client.get(path, headers=headers)
        else:
            answer = self.client.post(path, json=body, headers=headers)
        return answer.status_code, answer.json() if answer.content else {}

    def revealed(self, ticket: str, *columns: str, login: str = "alice", approver: str = "bob") -> dict[str, Any]:
        """What `POST /open` answers once the approver has agreed to show those columns in clear."""
        wanted = {"ticket": ticket, "reveal": list(columns), "reason": "she cannot be found"}
        status, answer = self(login, "/open", wanted)
        assert (status, answer["code"]) == (403, "approval-required"), answer
        status, answer = self(approver, f"/requests/{answer['request']['id']}/approve", {"reason": "seen"})
        assert (status, answer["state"]) == (200, "approved"), answer
        status, answer = self(login, "/open", wanted)
        assert status == 200, answer
        return answer
