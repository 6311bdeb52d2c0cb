"""The clause FORMAT of ClickHouse, which stands behind a statement and says nothing of what it reads.

It is seen by the text's end alone, so that no long text is cut into words for it: a string cannot end so, and what is
left is read like any statement. Where those words were a comment's, or names, the rest is read without them, or not.
"""

from __future__ import annotations

import re

_TAIL = 200
_FORMAT = re.compile(r"\sFORMAT\s+([A-Za-z]\w{0,60})[\s;]*\Z", re.IGNORECASE)


def without_format(text: str) -> tuple[str, str]:
    """The statement without its clause FORMAT, and the form that it names; empty for none."""
    start = max(0, len(text) - _TAIL)
    match = _FORMAT.search(text, start)
    return (text[: match.start()], match[1]) if match is not None else (text, "")
