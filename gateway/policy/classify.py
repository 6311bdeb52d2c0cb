"""What a column of a target should be in a first policy, judged by its name, its type and a sample of its values.

INVARIANT: values come in and none goes out: a proposal holds kinds, shares and counts. Doubt hides: a column of which
nothing is known is proposed as not named, and so is one whose values hold something personal that no mask fits.

A proposal is a draft for a person to read. It errs on the side of too little.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from gateway.policy import contents, kinds, types, words
from gateway.policy.contents import share
from gateway.policy.types import ColumnType
from gateway.policy.words import has, names, words_of

PERSON, ORGANISATION, NEITHER = "person", "organisation", ""

_SURE = 0.8
_NUMERIC_SURE = 0.9
_FEW = 30
_FIRST = 50
_STRUCTURED = frozenset({types.JSON, types.JSONB, types.BYTES, types.ARRAY, types.TIME, types.OTHER})


@dataclass(frozen=True, slots=True)
class Seen:
    """A column as the classification sees it.

    `values` are the sampled values that are not NULL, in PostgreSQL's text form, each cut to `contents.LONGEST`
    characters. `key` says whether it is in the primary key, `foreign` whether it refers to another relation.
    """

    name: str
    type: ColumnType
    values: tuple[str, ...] = field(default=(), repr=False)
    enum: bool = False
    key: bool = False
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is proposed for a column: `mask` with the options that a policy has, None to leave the column out.

    `what` is what it was taken for, `why` in words; `share` is the part of the `count` sampled values that look like
    it, None when values were not asked.
    """

    name: str
    what: str
    why: str
    mask: Mapping[str, Any] | None = None
    share: float | None = None
    count: int = 0
    reveal: bool = False


@dataclass(frozen=True, slots=True)
class _Sort:
    """A sort of content: how it is told by name and by value, and the mask that it gets."""

    what: str
    phrases: tuple[str, ...]
    test: Callable[[str], bool] | None
    mask: Mapping[str, Any] | None
    least: int = 3
    reveal: bool = False
    for_organisations: Mapping[str, Any] | None = None
    nameless: bool = field(default=True)


_CLEAR: Mapping[str, Any] = {"mask": "clear"}
_ENTERPRISE: Mapping[str, Any] = {"mask": "partial", "keep_start": 3}

# In the order in which they are asked: what has check digits before what is a shape only.
_SORTS = (
    _Sort(
        "e-mail address", ("email", "e mail", "mail", "courriel", "mel"), contents.is_email,
        {"mask": "email", "search": "exact", "identifier": True}, reveal=True,
    ),
    _Sort(
        "IBAN", ("iban", "rib", "bank account", "account number", "numero compte"), contents.is_iban,
        {"mask": "partial", "keep_start": 4, "keep_end": 3, "search": "exact", "identifier": True}, reveal=True,
    ),
    _Sort(
        "French social security number",
        ("nir", "numero securite sociale", "securite sociale", "num secu", "nss", "insee number"),
        contents.is_nir, {"mask": "redact", "identifier": True},
    ),
    _Sort(
        "payment card", ("card number", "credit card", "carte bancaire", "numero carte", "pan", "cardnum"),
        contents.is_card, {"mask": "partial", "keep_end": 4}, least=5,
    ),
    _Sort(
        "SIRET", ("siret", "company number", "registration number", "rcs"), contents.is_siret, _ENTERPRISE,
        for_organisations=_CLEAR,
    ),
    _Sort(
        "VAT number", ("vat", "tva", "vat number", "tva intracom"), contents.is_vat, _ENTERPRISE,
        for_organisations=_CLEAR,
    ),
    _Sort(
        "national number of a person",
        ("ssn", "social security", "nino", "national id", "identity number", "passport", "passeport", "cni", "id card",
         "tax id", "tax number", "driving licence", "driver license", "permis", "dni", "codice fiscale", "bsn", "pesel",
         "piece identite", "nhs number"),
        contents.is_national_id, {"mask": "redact", "identifier": True}, least=8,
    ),
    _Sort("SIREN", ("siren",), contents.is_siren, _ENTERPRISE, least=8, for_organisations=_CLEAR),
    _Sort(
        "telephone number",
        ("phone", "telephone", "tel", "mobile", "gsm", "fax", "portable", "cell", "cellphone", "msisdn"),
        contents.is_phone, {"mask": "partial", "keep_end": 2, "search": "exact"}, reveal=True,
    ),
    _Sort("IP address", ("ip", "ip address", "adresse ip", "ipaddr", "remote addr"), contents.is_ip,
          {"mask": "truncate_ip"}),
    _Sort(
        "postal address",
        ("address", "adresse", "street", "rue", "voie", "addr", "address line", "line 1", "line 2"),
        contents.is_street, {"mask": "redact"},
    ),
    _Sort("UUID", ("uuid", "guid"), contents.is_uuid, _CLEAR, nameless=False),
    _Sort(
        "first name",
        ("first name", "firstname", "prenom", "prenoms", "given name", "forename", "fname", "middle name"),
        None, {"mask": "pseudonym", "domain": "first_name"},
    ),
    _Sort(
        "last name",
        ("last name", "lastname", "surname", "family name", "nom famille", "nom de famille", "nom naissance",
         "nom usage", "maiden name", "lname"),
        None, {"mask": "pseudonym", "domain": "last_name"},
    ),
    _Sort(
        "name of an organisation",
        ("company name", "raison sociale", "organisation name", "organization name", "legal name", "trade name",
         "nom commercial", "denomination sociale", "business name"),
        None, {"mask": "pseudonym", "domain": "company"}, for_organisations=_CLEAR,
    ),
    _Sort(
        "name of a person",
        ("full name", "fullname", "display name", "contact name", "nom complet", "nom prenom", "person name",
         "employee name", "user full name", "patient name", "customer name", "client name"),
        None, {"mask": "pseudonym", "domain": "last_name"},
    ),
    _Sort("name of an account", ("username", "user name", "login", "identifiant", "nickname", "pseudo", "handle"), None,
          {"mask": "pseudonym", "domain": "token"}),
    _Sort("post code", ("postcode", "post code", "zip", "zipcode", "postal code", "code postal", "cp"), None,
          {"mask": "partial", "keep_start": 2}),
    _Sort("town", ("city", "ville", "town", "commune", "municipality"), None, {"mask": "redact"}),
    _Sort("date of birth", ("birth", "birthday", "birthdate", "naissance", "dob", "born"), contents.is_day, None,
          nameless=False),
)  # fmt: skip
_BIRTH = ("birth", "birthday", "birthdate", "naissance", "dob", "born")
_NAME = frozenset({"name", "nom"})


def subject(relation: str, columns: tuple[str, ...]) -> str:
    """Whom the rows of a relation are about, by its name, else by the names of its columns."""
    for word in reversed(words_of(relation)):
        if names((word,), words.PERSON):
            return PERSON
        if names((word,), words.ORGANISATION):
            return ORGANISATION
    personal = ("first name", "prenom", "last name", "surname", "nom famille", "nir", "ssn", *_BIRTH)
    return PERSON if any(has(words_of(column), *personal) for column in columns) else NEITHER


def is_secret(name: str) -> bool:
    """Whether a name says that what it holds opens something."""
    found = words_of(name)
    return names(found, words.SECRET) or has(found, *words.SECRET_PHRASES)


def wants_values(seen: Seen) -> bool:
    """Whether a sample of the column's values would change what is proposed; what need not be read is not."""
    return not (seen.enum or seen.type.group in _STRUCTURED | {types.BOOLEAN, types.UUID, types.IP}) and not (
        is_secret(seen.name) or names(words_of(seen.name), words.SENSITIVE)
    )


def propose(seen: Seen, about: str, *, reference: bool = False, today: date) -> Proposal:
    """What to do with the column of a relation whose rows are about a person, an organisation or neither.

    `reference` says that the relation is small, was read whole, and refers to no other.
    """
    proposal = _propose(seen, about, reference, today)
    if proposal.mask is None:
        return proposal
    options = {name: value for name, value in proposal.mask.items() if name not in {"mask", "search", "identifier"}}
    problem = kinds.misfit(kinds.checked(proposal.mask["mask"], options), seen.type)
    if problem:
        return Proposal(seen.name, proposal.what, f"{proposal.why}; no mask fits its type", None)
    return proposal


def _propose(seen: Seen, about: str, reference: bool, today: date) -> Proposal:
    found, group = words_of(seen.name), seen.type.group
    if names(found, words.SENSITIVE):
        return _hidden(seen, "special category", "its name says something that GDPR article 9 or 10 may be about")
    harmless = group in {types.BOOLEAN, types.DATE, types.TIMESTAMP} or (seen.foreign and group == types.INTEGER)
    if is_secret(seen.name) and not harmless:
        return _hidden(seen, "secret", "its name says secret, token or password")
    if seen.enum:
        return _shown(seen, "enumeration", "an enumerated type")
    if group == types.BOOLEAN:
        return _shown(seen, "boolean", "yes or no")
    if group == types.UUID:
        return _shown(seen, "UUID", "by its type")
    if group == types.IP:
        return Proposal(seen.name, "IP address", "by its type", {"mask": "truncate_ip"})
    if group in {types.DATE, types.TIMESTAMP}:
        return _moment(seen, found, about, today)
    if group in {types.INTEGER, types.NUMERIC, types.FLOAT}:
        return _number(seen, found, about)
    if group == types.TEXT:
        return _text(seen, found, about, reference)
    return _hidden(seen, "structured" if group in _STRUCTURED else "unknown", f"type `{_spelled(seen.type)}`")


def _moment(seen: Seen, found: tuple[str, ...], about: str, today: date) -> Proposal:
    if has(found, *_BIRTH):
        return Proposal(seen.name, "date of birth", "by its name", {"mask": "year"}, reveal=True)
    if about == PERSON and names(found, words.MONTH):
        return Proposal(seen.name, "date in a person's life", "by its name", {"mask": "month"})
    youngest = str(today.year - 14)
    old = share(lambda value: "1900" <= value[:4] < youngest and value[4:5] == "-", seen.values)
    if seen.type.group == types.DATE and about == PERSON and len(seen.values) >= 5 and old >= _NUMERIC_SURE:
        return _judged(seen, "date of birth", "by its values: long ago, in rows about people", {"mask": "year"}, old)
    return _shown(seen, "moment", "a date or time")


def _number(seen: Seen, found: tuple[str, ...], about: str) -> Proposal:
    if seen.key or seen.foreign:
        return _shown(seen, "key", "in a key")
    for sort in _SORTS:
        if sort.what in {"SIRET", "SIREN", "French social security number", "payment card"} and sort.test is not None:
            matched = share(sort.test, seen.values)
            if len(seen.values) >= 8 and matched >= _NUMERIC_SURE:
                return _judged(seen, sort.what, "by its values", _mask_of(sort, about), matched)
        if sort.what not in {"UUID", "IP address"} and has(found, *sort.phrases) and sort.what != "date of birth":
            return _named(seen, sort, about, None)
    if has(found, *_BIRTH) or names(found, frozenset({"age"})):
        return Proposal(seen.name, "age", "by its name", {"mask": "bucket", "size": 10})
    if seen.type.group == types.INTEGER and found[-1:] == ("id",):
        return _shown(seen, "identifier", "by its name, though no constraint says of what")
    if names(found, words.AMOUNT):
        size, why = _size(seen.values)
        return Proposal(seen.name, "amount", f"by its name; {why}", {"mask": "bucket", "size": size})
    if seen.type.group == types.INTEGER and names(found, words.COUNT):
        return _shown(seen, "count", "by its name")
    return _hidden(seen, "number", "nothing says what it counts")


def _text(seen: Seen, found: tuple[str, ...], about: str, reference: bool) -> Proposal:
    values, count = seen.values, len(seen.values)
    secret = share(contents.is_secret, values)
    if secret > 0.05:
        return _hidden(seen, "secret", "its values look like hashes, keys or tokens", secret)
    named = next((sort for sort in _SORTS if has(found, *sort.phrases)), None)
    for sort in _SORTS:
        if sort.test is None or not (sort.nameless or sort is named) or share(sort.test, values[:_FIRST]) < 0.5:
            continue
        matched = share(sort.test, values)
        if count >= sort.least and matched >= _SURE:
            why = "by its name and its values" if sort is named else "by its values"
            return _judged(seen, sort.what, why, _mask_of(sort, about), matched, reveal=sort.reveal)
    status = names(found[-1:], words.STATUS) and count > 0
    if named is not None and not (status and named.test is not None and share(named.test, values) == 0):
        matched_share = share(named.test, values) if named.test is not None and count else None
        return _named(seen, named, about, matched_share)
    return _plain_text(seen, found, about, reference)


def _plain_text(seen: Seen, found: tuple[str, ...], about: str, reference: bool) -> Proposal:
    values, count = seen.values, len(seen.values)
    if has(found, *_BIRTH):
        return _hidden(seen, "date of birth", "a date of birth in a text")
    is_name = names(found[-1:], _NAME)
    if about == PERSON and is_name:
        what = "last name" if found[-1] == "nom" else "name of a person"
        return Proposal(seen.name, what, "by its name", {"mask": "pseudonym", "domain": "last_name"})
    personal = share(contents.holds_personal, values)
    if personal > 0:
        return _hidden(seen, "text with personal data", "an address or a number stands in its values", personal)
    if names(found, words.FREE_TEXT):
        return _hidden(seen, "free text", "by its name")
    prose = share(contents.is_prose, values)
    if prose >= 0.1:
        return _hidden(seen, "free text", "its values are several words long", prose)
    people = share(contents.is_name, values)
    if people >= 0.3 and count >= 5:
        mask = {"mask": "pseudonym", "domain": "last_name"}
        return _judged(seen, "name of a person", "its values look like people's names", mask, people)
    if about == ORGANISATION and is_name:
        return _judged(seen, "name of an organisation", "by its name", _CLEAR, None)
    if people > 0.05:
        return _hidden(seen, "possibly names", "some values look like people's names", people)
    if (seen.key or seen.foreign) and not names(found, words.PERSON - {"customer", "client", "tenant", "member"}):
        return _shown(seen, "key", "in a key")
    distinct = len(set(values))
    longest = max((len(value) for value in values), default=0)
    if count >= 20 and distinct <= _FEW and count >= 4 * distinct and longest <= 60:
        return _judged(seen, "few values", f"{distinct} different values", _CLEAR, None)
    if 0 < distinct <= 12 and longest <= 30 and names(found[-1:], words.STATUS):
        return _judged(seen, "status", f"by its name; {distinct} different values", _CLEAR, None)
    if reference and about == NEITHER and count > 0 and names(found, words.LABEL):
        return _judged(seen, "label", "a name in a small table that refers to no other", _CLEAR, None)
    return _hidden(seen, "text", "nothing says what it holds" if count else "no values to judge by")


def _named(seen: Seen, sort: _Sort, about: str, matched: float | None) -> Proposal:
    """What a name alone says, its values not being of the sort for the most part: enough to mask, not to show."""
    mask = _mask_of(sort, about)
    if mask == _CLEAR and sort.test is not None:
        return _hidden(seen, sort.what, "by its name, which its values do not bear out", matched)
    return _judged(seen, sort.what, "by its name", mask, matched, reveal=sort.reveal)


def _mask_of(sort: _Sort, about: str) -> Mapping[str, Any] | None:
    if sort.for_organisations is not None and about != PERSON:
        return sort.for_organisations
    return sort.mask


def _size(values: tuple[str, ...]) -> tuple[int, str]:
    """A power of ten below the usual amount: coarse enough to hide one, fine enough to tell large from small."""
    numbers = sorted(abs(number) for number in map(_float, values) if math.isfinite(number) and number)
    if not numbers:
        return 1000, "no values to choose the size by"
    middle = numbers[len(numbers) // 2]
    power = min(15, max(0, math.floor(math.log10(middle))))
    return 10**power, "size by the magnitude of its values"


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _spelled(of: ColumnType) -> str:
    return of.sql.removeprefix("pg_catalog.")


def _hidden(seen: Seen, what: str, why: str, matched: float | None = None) -> Proposal:
    return Proposal(seen.name, what, why, None, matched, len(seen.values))


def _shown(seen: Seen, what: str, why: str) -> Proposal:
    return Proposal(seen.name, what, why, _CLEAR)


def _judged(
    seen: Seen, what: str, why: str, mask: Mapping[str, Any] | None, matched: float | None, *, reveal: bool = False
) -> Proposal:
    return Proposal(seen.name, what, why, mask, matched, len(seen.values), reveal=reveal)
