"""Logins, and the database user name that carries one.

A login is compared after NFKC, case folding and NFKC again (Unicode 15, section 3.13, "toNFKC_Casefold" without the
removal of ignorable characters: those are refused instead). So `Alice` and `alice` are one person, and two entries of
a directory that fold together are an error there. After folding, a login is 1 to 64 letters, digits, `.`, `_`, `-` or
`@`, and starts with a letter or digit; `+` is never part of one, because it separates the ticket in a user name.
"""

from __future__ import annotations

import re
import unicodedata

_LOGIN = re.compile(r"[^\W_][\w.@-]{0,63}")
_TICKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._#/-]{0,63}")


def fold_login(login: str) -> str:
    """The form in which logins are compared; "" for a text that is no login."""
    if len(login) > 256:
        return ""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", login).casefold())
    return folded if _LOGIN.fullmatch(folded) else ""


def split_user(user: str) -> tuple[str, str | None]:
    """The folded login and the ticket id of `alice` or `alice+SUP-1423`; "" and None for what is neither.

    A ticket id is compared exactly as its source writes it.
    """
    login, plus, ticket = user.partition("+")
    folded = fold_login(login)
    if not plus:
        return folded, None
    return (folded, ticket) if is_ticket_id(ticket) else ("", None)


def is_ticket_id(text: str) -> bool:
    """Whether the text can be a ticket's id: 1 to 64 of letters, digits, `.`, `_`, `#`, `/`, `-`."""
    return _TICKET.fullmatch(text) is not None
