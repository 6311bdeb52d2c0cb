"""What mariadb-dump and mysqldump write into comments that a server executes, and the locks that they give up.

Such comments are refused wherever else they stand, since what they do depends on who reads them. These few are spelled
to the byte as the two programs send them, and do the same on every server that a target may be. INVARIANT: what is
judged, and what runs, is the text in which they are written out: no comment reaches the target.
"""

from __future__ import annotations

_NOTHING = "SET wait_timeout = DEFAULT"
"""A setting that is taken without an effect: how long a statement may run is the policy's."""
_WHOLE = {
    "/*!40100 SET @@SQL_MODE='' */": "SET @@SQL_MODE=''",
    "/*!40103 SET TIME_ZONE='+00:00' */": "SET TIME_ZONE='+00:00'",
    "/*M!100100 SET @@MAX_STATEMENT_TIME=0.000000 */": _NOTHING,
    "/*M!100100 SET WAIT_TIMEOUT=DEFAULT */": _NOTHING,
    # sent where nothing was locked, which is all that is possible here
    "UNLOCK TABLES": _NOTHING,
    "START TRANSACTION /*!40100 WITH CONSISTENT SNAPSHOT */": "START TRANSACTION WITH CONSISTENT SNAPSHOT",
    "SET SQL_QUOTE_SHOW_CREATE=1/*!40102 ,SQL_MODE=concat(@@sql_mode, _utf8 ',NO_KEY_OPTIONS,NO_TABLE_OPTIONS,"
    "NO_FIELD_OPTIONS') */": "SET SQL_QUOTE_SHOW_CREATE=1",
}
_SELECT = "SELECT /*!40001 SQL_NO_CACHE */ "
_REFUSED = {"LOCK TABLES ": " /*!32311 LOCAL */", "FLUSH ": " /*!40101 LOCAL */"}
"""What is refused with or without the comment, and better for what it is than for that."""


def written_out(text: str) -> str:
    """The text as it would be without such a comment; any other as it is."""
    if text.startswith(_SELECT):
        return "SELECT " + text.removeprefix(_SELECT)
    for first, comment in _REFUSED.items():
        if text.startswith(first):
            return text.replace(comment, " LOCAL")
    return _WHOLE.get(text, text)
