"""What a sampled value looks like: check digits, shapes, and lists of names; values in, yes or no out.

INVARIANT: no value leaves this module, neither in what is returned nor in an exception; a detector never fails.

Check digits are python-stdnum's (IBAN: ISO 13616; NIR: INSEE; SIRET, SIREN: ISO/IEC 7812-1 annex B; VAT: the member
states' formulas), numbering plans are phonenumbers' (ITU-T E.164). Both libraries are imported when first needed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache

from gateway.policy import kinds
from gateway.policy.words import FIRST_NAMES

LONGEST = 256
"""Characters of a value that are looked at."""

_EMAIL = re.compile(r"[^\s@<>,;]{1,64}@(?:[\w-]{1,63}\.)+[^\W\d_]{2,24}")
_EMAIL_INSIDE = re.compile(r"[\w.+-]@[\w-]+\.[\w-]")
_PHONE_SHAPE = re.compile(r"(?:\+|00)?[\s(]*[0-9][0-9\s().\-/]{6,22}[0-9]")
_IPV4 = re.compile(kinds.IPV4_TEXT.removesuffix("$") + r"(?:/[0-9]{1,2})?\Z")
_IPV6 = re.compile(r"(?=.*:.*:)[0-9A-Fa-f:.]{3,45}(?:/[0-9]{1,3})?(?:%\w+)?")
_CARD = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|4|5)\d{12,14}"
)
_STREET = re.compile(
    r"(?i)\d{1,5}\s?(?:bis|ter|[a-d])?,?\s+(?:rue|avenue|av|boulevard|bd|blvd|place|chemin|allee|allée|impasse|quai|"
    r"route|cours|square|passage)\b.*|\d{1,6}[a-z]?\s+(?:[\w.']+\s+){1,4}"
    r"(?:street|st|road|rd|avenue|ave|lane|ln|drive|dr|court|ct|boulevard|blvd|way|square|terrace|close)\b.*"
)
_TOKEN = re.compile(
    r"\$2[abxy]?\$.+|\$argon2.+|\$(?:5|6|scrypt|pbkdf2)[$-].+|SCRAM-SHA-256\$.+|eyJ[\w-]+\.[\w-]+\.?[\w-]*|"
    r"(?:sk|pk|rk|ghp|gho|xox[abp]|glpat|AKIA)[-_A-Za-z0-9]{16,}|-----BEGIN .*|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}"
)
_UUID = re.compile(r"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BIRTH_TEXT = re.compile(r"(?:19|20)\d\d[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.](?:19|20)\d\d")
_SEPARATORS = re.compile(r"[\s.\-]")


def share(test: Callable[[str], bool], values: Iterable[str]) -> float:
    """Which part of the values passes, from 0 to 1; 0 when there is none."""
    passed = [_asked(test, value) for value in values]
    return sum(passed) / len(passed) if passed else 0.0


def is_email(value: str) -> bool:
    """One address (RFC 5321, as people have them) and nothing else."""
    return _EMAIL.fullmatch(value.strip()) is not None


def is_phone(value: str) -> bool:
    """A telephone number: international, or written as in France, the United States or Britain."""
    text = value.strip()
    if not _PHONE_SHAPE.fullmatch(text):
        return False
    digits = _SEPARATORS.sub("", text)
    if text.startswith("+"):
        return _possible(text, None)
    if digits.startswith("00"):
        return _possible("+" + digits[2:], None)
    if re.fullmatch(r"0[1-9][0-9]{8}", digits):
        return _possible(digits, "FR")
    # Ten digits in a row can be anything; in groups they are a number where the plan says so.
    return not text.isdigit() and (_valid(text, "US") or _valid(text, "GB"))


def is_iban(value: str) -> bool:
    """An IBAN with the right check digits."""
    return value[:2].isalpha() and bool(_numbers()["iban"](value))


def is_nir(value: str) -> bool:
    """A French social security number with its key."""
    return bool(_numbers()["nir"](value))


def is_siret(value: str) -> bool:
    """A SIRET: an establishment."""
    return bool(_numbers()["siret"](value))


def is_siren(value: str) -> bool:
    """A SIREN: an enterprise."""
    return bool(_numbers()["siren"](value))


def is_vat(value: str) -> bool:
    """A VAT number of a member state of the European Union, country first."""
    return value[:2].isalpha() and bool(_numbers()["vat"](value))


def is_national_id(value: str) -> bool:
    """A person's number in one of the countries whose numbers check themselves well enough, or an American SSN."""
    numbers = _numbers()
    if any(numbers[name](value) for name in _NATIONAL):
        return True
    return re.fullmatch(r"\d{3}-\d{2}-\d{4}", value.strip()) is not None and bool(numbers["us.ssn"](value))


def is_card(value: str) -> bool:
    """A payment card's number: an issuer's prefix and Luhn's formula."""
    digits = _SEPARATORS.sub("", value)
    return _CARD.fullmatch(digits) is not None and bool(_numbers()["luhn"](digits))


def is_ip(value: str) -> bool:
    """An address or network of IPv4 or IPv6."""
    text = value.strip()
    return _IPV4.match(text) is not None or _IPV6.fullmatch(text) is not None


def is_street(value: str) -> bool:
    """A house number and a street, in French or English."""
    return _STREET.fullmatch(value.strip()) is not None


def is_secret(value: str) -> bool:
    """A password hash, a web token, a key of a well-known form, or a digest."""
    return _TOKEN.fullmatch(value.strip()) is not None


def is_uuid(value: str) -> bool:
    """A UUID in its text form."""
    return _UUID.fullmatch(value.strip()) is not None


def is_day(value: str) -> bool:
    """A date in text."""
    return _BIRTH_TEXT.fullmatch(value.strip()) is not None


def is_name(value: str) -> bool:
    """One to four words, one of them a common first name."""
    plain = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode().lower()
    parts = re.findall(r"[a-z]+", plain)
    return 0 < len(parts) <= 4 and len(value) <= 60 and any(part in FIRST_NAMES for part in parts)


def is_prose(value: str) -> bool:
    """Several words, or a long text: something that a person wrote."""
    return len(value) > 80 or len(value.split()) >= 6 or "\n" in value


def holds_personal(value: str) -> bool:
    """Whether an address, a number of a person or an account stands anywhere in the value."""
    if _EMAIL_INSIDE.search(value):
        return True
    if any(is_iban(piece) for piece in re.findall(r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}", value)[:4]):
        return True
    pieces = re.findall(r"[+(]?[0-9][0-9AB ().\-/]{7,24}[0-9]", value)[:8]
    return any(test(piece) for piece in pieces for test in (is_phone, is_nir, is_card))


_NATIONAL = {
    "it.codicefiscale": "it.codicefiscale", "es.dni": "es.dni", "es.nie": "es.nie", "be.nn": "be.nn",
    "pl.pesel": "pl.pesel", "ch.ssn": "ch.ssn", "fi.hetu": "fi.hetu", "de.idnr": "de.idnr", "gb.nhs": "gb.nhs",
    "se.personnummer": "se.personnummer", "dk.cpr": "dk.cpr", "ro.cnp": "ro.cnp", "fr.nif": "fr.nif",
}  # fmt: skip
_OTHERS = {
    "iban": "iban", "nir": "fr.nir", "siret": "fr.siret", "siren": "fr.siren", "vat": "eu.vat", "us.ssn": "us.ssn",
    "luhn": "luhn",
}  # fmt: skip


@cache
def _numbers() -> dict[str, Callable[[str], bool]]:
    from importlib import import_module

    return {name: import_module(f"stdnum.{module}").is_valid for name, module in (_NATIONAL | _OTHERS).items()}


def _possible(text: str, region: str | None) -> bool:
    # Ranges kept for fiction are possible and not valid; test data has them.
    import phonenumbers

    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(text, region))
    except phonenumbers.NumberParseException:
        return False


def _valid(text: str, region: str) -> bool:
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(text, region))
    except phonenumbers.NumberParseException:
        return False


def _asked(test: Callable[[str], bool], value: str) -> bool:
    try:
        return test(value[:LONGEST])
    except Exception:
        # A library's trouble with an odd value says only that the value is not of this kind, and its text may quote it.
        return False
