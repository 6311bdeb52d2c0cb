"""Which statuses of an upstream leave, and what stands for those that do not.

INVARIANT: 404 is always our own, and so is every status that could tell a hidden object from a missing one: of a route
whose answers say whose they are, only what is about the request's form keeps its status.
"""

from __future__ import annotations

from http import HTTPStatus

from gateway.errors import Refusal
from gateway.http.headers import Headers, retry_after
from gateway.http.withheld import Withheld
from gateway.policy.http_rules import Route

REDIRECTS = frozenset({300, 301, 302, 303, 305, 307, 308})

_NEVER = frozenset({206, 226, 304})
"""Parts of, and news about, what nobody asked for: the requests that ask for them do not go on."""
_OF_THE_FORM = frozenset({400, 405, 406, 408, 411, 413, 414, 415, 422, 429, 431})
_OF_OUR_CREDENTIAL = frozenset({401, 407})
_KNOWN = frozenset(int(status) for status in HTTPStatus)


def unnamed(route: Route, status: int, headers: Headers) -> Withheld | None:
    """What is sent instead of an answer with that status; None where the route has a rule for it."""
    if status == HTTPStatus.NOT_FOUND:
        return Withheld.not_found()
    if 200 <= status <= 599 and status not in _NEVER and any(status in rule.statuses for rule in route.answers):
        return None
    if not 400 <= status <= 599:
        return Withheld.not_allowed(f"has the status {status}, which the route does not name")
    if status >= 500:
        return Withheld(Refusal("target-error", "the target failed"), headers=retry_after(headers))
    if status in _OF_OUR_CREDENTIAL:
        return Withheld(Refusal("credential-refused", "the target did not accept the gateway's own credential"))
    if status not in _OF_THE_FORM and any(rule.customer is not None for rule in route.answers):
        return Withheld.not_found()
    status = status if status in _KNOWN else HTTPStatus.BAD_REQUEST
    refusal = Refusal("target-refused", f"the target refused the request with the status {int(status)}")
    return Withheld(refusal, status, retry_after(headers))
