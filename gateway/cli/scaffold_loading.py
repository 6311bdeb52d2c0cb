"""What of a proposal loads: a policy is tried as a whole, and what is at fault in it is left out, until it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from gateway.errors import GatewayError
from gateway.policy.load import parse_policy
from gateway.policy.shapes import LARGEST, DocumentInvalid


class Part(Protocol):
    """A part of a proposal; `why` says why it is left out, if it is."""

    why: str


P = TypeVar("P", bound=Part)
Written = Callable[[], tuple[list[str], Sequence[tuple[P, range]]]]
"""The lines of what is not left out, and on which of them (from 1) each part is."""


def loading(written: Written[P], none: Callable[[], GatewayError], smaller: str) -> str:
    """The policy's text, once it loads. Raises `GatewayError`: what `none` gives when nothing is left; too large.

    `smaller` says what to do about a proposal that is larger than a policy may be.
    """
    while True:
        lines, places = written()
        if not places:
            raise none()
        text = "\n".join(lines) + "\n"
        if len(text) > LARGEST:
            raise GatewayError("request-invalid", "the proposal is larger than a policy may be", hint=smaller)
        try:
            parse_policy(text, "the proposal")
        except DocumentInvalid as faults:
            wrong = [(part, fault.message) for fault in faults.problems for part, at in places if fault.line in at]
            if not wrong:
                raise
            for part, message in wrong:
                part.why = part.why or message
            continue
        return text
