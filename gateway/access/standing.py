"""What people have lost at this gateway, whatever the directory says: suspensions, and rights that were withdrawn.

Theory of operation. Both are rows of the store, known here in memory because they are asked about at every decision and
by every look at a role; the watcher reads them again, so that another process' news is some rounds old at most. A
suspended person is, to everything but the proof of password and factor, somebody whom the directory calls inactive.

INVARIANT: what is lost takes effect in this process before it is answered, and survives a restart.
INVARIANT: nobody lifts his own suspension or restores a right of his own, nor through a second account of his.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.errors import Refusal
from gateway.model import Principal
from gateway.policy.rights import Right
from gateway.store.standing import Suspension, Withdrawal


class Standing:
    """Who is suspended, and who has lost which right."""

    def __init__(self, suspended: Iterable[Suspension], withdrawn: Iterable[Withdrawal]) -> None:
        self.take(suspended, withdrawn)

    def take(self, suspended: Iterable[Suspension], withdrawn: Iterable[Withdrawal]) -> None:
        """Know these, in place of what was known."""
        self._suspended = {one.person: one for one in suspended}
        self._withdrawn = {(one.person, one.target, one.what): one for one in withdrawn}
        self._count()

    def suspension(self, person: str) -> Suspension | None:
        """That person's suspension."""
        return self._suspended.get(person)

    def put(self, suspension: Suspension) -> None:
        """Somebody is suspended from now on."""
        self._suspended[suspension.person] = suspension
        self._count()

    def remove(self, person: str) -> None:
        """Somebody is not suspended any more."""
        self._suspended.pop(person, None)
        self._count()

    def withdraw(self, taken: Iterable[Withdrawal]) -> None:
        """These rights are gone from now on."""
        for one in taken:
            self._withdrawn.setdefault((one.person, one.target, one.what), one)
        self._count()

    def restore(self, person: str, target: str, what: str) -> None:
        """This one is back."""
        self._withdrawn.pop((person, target, what), None)
        self._count()

    def _count(self) -> None:
        self._affected = {*self._suspended, *(person for person, _, _ in self._withdrawn)}

    def withdrawals(self) -> list[Withdrawal]:
        """Every right that is gone."""
        return list(self._withdrawn.values())

    def affects(self, person: str) -> bool:
        """Whether that person has lost anything at all."""
        return person in self._affected

    def seen(self, person: Principal | None) -> Principal | None:
        """The person as the gateway takes him: inactive while he is suspended."""
        if person is None or person.id not in self._suspended:
            return person
        return replace(person, active=False)

    def has_lost(self, person: str, target: str, right: Right) -> bool:
        """Whether that right was withdrawn; `target` is empty for one at the gateway itself."""
        return (person, target, right.value) in self._withdrawn

    def refuse(
        self, person: str, target: str, *, write: bool = False, reveal: bool = False, break_glass: bool = False
    ) -> Refusal | None:
        """Why the person may not ask for that at the target any more, though policy and directory let him."""
        wanted = [Right.READ]
        wanted += [
            right
            for right, asked in ((Right.WRITE, write), (Right.REVEAL, reveal), (Right.BREAK_GLASS, break_glass))
            if asked
        ]
        lost = next((right for right in wanted if self.has_lost(person, target, right)), None)
        return None if lost is None else right_withdrawn(lost, target)


def right_withdrawn(right: Right, target: str) -> Refusal:
    """The refusal for a right that a review took."""
    where = f" on `{target}`" if target else ""
    return Refusal(
        "right-withdrawn",
        f"a review of access withdrew your right to {right.value}{where}",
        "ask an administrator to give it back: gateway access restore LOGIN "
        + right.value
        + (f" --target {target}" if target else ""),
    )


def person_suspended() -> Refusal:
    """What a suspended person is told, who has proved who he is."""
    return Refusal(
        "person-suspended", "you are suspended at this gateway",
        "ask an administrator; one lifts it with: gateway people unsuspend LOGIN", fatal=True,
    )  # fmt: skip
