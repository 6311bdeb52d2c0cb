"""What a column is taken for: by its name in two languages, by its type, by what its values look like; doubt hides."""

from __future__ import annotations

import io
import logging
from datetime import date

import pytest

from gateway.policy import classify, contents
from gateway.policy.classify import NEITHER, ORGANISATION, PERSON, Seen, propose, subject, wants_values
from gateway.policy.types import column_type

TODAY = date(2026, 10, 1)
EMAILS = tuple(f"user{number}@mail.example" for number in range(40))
PHONES = tuple(f"+33 6 39 98 {number:02} 17" for number in range(40))
IBANS = ("FR7630006000011234567890189", "DE89370400440532013000", "GB82 WEST 1234 5698 7654 32") * 5
NIRS = ("255081416802538", "2 55 08 14 168 025 38") * 5
SIRETS = ("73282932000074", "552 081 317 66522") * 5
CARDS = ("4111 1111 1111 1111", "5500-0000-0000-0004", "340000000000009") * 3
VATS = ("FR40303265045", "DE136695976", "IT00743110157")
ITALIANS = ("RCCMNL83S18D969H", "RSSMRA85T10A562S") * 5
STREETS = ("12 rue de la Paix, 75002 Paris", "221B Baker Street", "4 bis avenue Foch", "1600 Pennsylvania Avenue NW")
HASHES = (
    "$2b$12$eImiTXuWVxfM37uY4JANjQ",
    "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ",
    "5f4dcc3b5aa765d61d8327deb882cf99",
)
NAMES = ("Élodie Dupont", "Jean-Luc Martin", "Mary Smith", "Robert O'Neil", "Fatima Zahra", "Ann Lee") * 4
FEW = ("open", "closed", "open", "waiting") * 15
PROSE = ("He called about the invoice and was rather upset about it", "ok", "Please ring back") * 10
WORDS = tuple(f"thing{number}" for number in range(40))
BIRTHS = tuple(f"19{year}-03-0{1 + year % 9}" for year in range(50, 99))
IPS = ("10.0.0.1", "192.168.7.1", "2001:db8::1")
AMOUNTS = ("31250.00", "48000.50", "27000.00")


def mask(
    name: str, declared: str = "text", values: tuple[str, ...] = (), about: str = NEITHER, *, reference: bool = False,
    key: bool = False, foreign: bool = False,
) -> str:  # fmt: skip
    """The kind of mask that is proposed, with the domain of a pseudonym; `hidden` for none."""
    seen = Seen(name, column_type(declared), values, key=key, foreign=foreign)
    found = propose(seen, about, reference=reference, today=TODAY).mask
    return (
        "hidden" if found is None else ":".join(str(found[one]) for one in ("mask", "domain", "size") if one in found)
    )


@pytest.mark.parametrize(
    ("name", "values", "about", "wanted"),
    [
        # by name and by content
        ("email", EMAILS, PERSON, "email"),
        ("courriel", EMAILS, PERSON, "email"),
        ("contact", EMAILS, NEITHER, "email"),
        ("EMailAddress", (), NEITHER, "email"),
        ("telephone", PHONES, PERSON, "partial"),
        ("num", PHONES, NEITHER, "partial"),
        ("mobilePhone", (), PERSON, "partial"),
        ("x", ("(212) 736-5000", "212-736-5001", "+44 20 7946 0958"), NEITHER, "partial"),
        ("rib", IBANS, NEITHER, "partial"),
        ("x", IBANS, NEITHER, "partial"),
        ("nir", NIRS, PERSON, "redact"),
        ("numero_securite_sociale", (), PERSON, "redact"),
        ("ref", NIRS, NEITHER, "redact"),
        ("x", ITALIANS, NEITHER, "redact"),
        ("passport_no", WORDS, PERSON, "redact"),
        ("siret", SIRETS, ORGANISATION, "clear"),
        ("x", SIRETS, NEITHER, "clear"),
        ("siret", SIRETS, PERSON, "partial"),
        ("siret", WORDS, ORGANISATION, "hidden"),
        ("siret", (), ORGANISATION, "hidden"),
        ("uuid", WORDS, NEITHER, "hidden"),
        ("tva", VATS, ORGANISATION, "clear"),
        ("x", VATS, PERSON, "partial"),
        ("x", CARDS, NEITHER, "partial"),
        ("card_number", (), NEITHER, "partial"),
        ("ip", IPS, NEITHER, "truncate_ip"),
        ("seen_from", IPS, NEITHER, "truncate_ip"),
        ("adresse", STREETS, PERSON, "redact"),
        ("x", STREETS, NEITHER, "redact"),
        ("code_postal", (), PERSON, "partial"),
        ("ville", FEW, PERSON, "redact"),
        ("prenom", (), NEITHER, "pseudonym:first_name"),
        ("FirstName", NAMES, PERSON, "pseudonym:first_name"),
        ("nom_de_famille", (), NEITHER, "pseudonym:last_name"),
        ("surname", (), NEITHER, "pseudonym:last_name"),
        ("nom", WORDS, PERSON, "pseudonym:last_name"),
        ("full_name", (), NEITHER, "pseudonym:last_name"),
        ("handled_by", NAMES, NEITHER, "pseudonym:last_name"),
        ("login", WORDS, PERSON, "pseudonym:token"),
        ("raison_sociale", WORDS, ORGANISATION, "clear"),
        ("raison_sociale", WORDS, PERSON, "pseudonym:company"),
        ("name", WORDS, ORGANISATION, "clear"),
        # what opens something, and what is nobody's business
        ("password_hash", (), PERSON, "hidden"),
        ("api_key", (), NEITHER, "hidden"),
        ("motDePasse", (), NEITHER, "hidden"),
        ("x", HASHES, NEITHER, "hidden"),
        ("nationality", FEW, PERSON, "hidden"),
        ("religion", FEW, PERSON, "hidden"),
        ("maladie", FEW, PERSON, "hidden"),
        # text that people wrote
        ("notes", FEW, NEITHER, "hidden"),
        ("commentaire", (), NEITHER, "hidden"),
        ("x", PROSE, NEITHER, "hidden"),
        ("kind", (*FEW, "ask a@b.example"), NEITHER, "hidden"),
        ("kind", (*FEW, "ring +33 6 39 98 12 34"), NEITHER, "hidden"),
        # a few values over and over
        ("status", FEW, NEITHER, "clear"),
        ("job", FEW, PERSON, "clear"),
        ("plan", ("gold", "silver", "gold"), NEITHER, "clear"),
        ("email_status", FEW, PERSON, "clear"),
        ("status", (), NEITHER, "hidden"),
        ("x", ("a", "b", "c"), NEITHER, "hidden"),
        ("x", WORDS, NEITHER, "hidden"),
        ("manager", ("Ann Lee", "Bob Ray", "Zed", "Foo") * 20, NEITHER, "pseudonym:last_name"),
        ("x", ("Zed", "Foo", "Bar", "Baz", "Quux", "Ann") * 20, NEITHER, "hidden"),
        # in doubt
        ("x", (), NEITHER, "hidden"),
        ("x", ("\x1b[31m", "\u202e", "𝟙𝟚𝟛", "١٢٣", ""), NEITHER, "hidden"),
        ("date_naissance", ("1980-02-03",) * 5, PERSON, "hidden"),
    ],
)  # fmt: skip
def test_a_text_is_taken_for(name: str, values: tuple[str, ...], about: str, wanted: str) -> None:
    assert mask(name, "text", values, about) == wanted


@pytest.mark.parametrize(
    ("name", "declared", "values", "about", "wanted"),
    [
        ("birth_date", "date", (), NEITHER, "year"),
        ("dateNaissance", "timestamp with time zone", (), PERSON, "year"),
        ("d", "date", BIRTHS, PERSON, "year"),
        ("d", "date", BIRTHS, NEITHER, "clear"),
        ("hired_on", "date", (), PERSON, "month"),
        ("created_at", "timestamp with time zone", (), PERSON, "clear"),
        ("password_changed_at", "timestamp with time zone", (), PERSON, "clear"),
        ("salaire", "numeric(10,2)", AMOUNTS, PERSON, "bucket:10000"),
        ("price", "double precision", ("9.5", "12", "NaN", "Infinity"), NEITHER, "bucket:10"),
        ("gross", "integer", (), NEITHER, "bucket:1000"),
        ("age", "smallint", ("41",), PERSON, "bucket:10"),
        ("birth_year", "integer", (), PERSON, "bucket:10"),
        ("quantity", "integer", ("1",), NEITHER, "clear"),
        ("score", "integer", ("1",), NEITHER, "hidden"),
        ("external_id", "bigint", (), NEITHER, "clear"),
        ("payment_id", "bigint", ("7",), NEITHER, "clear"),
        ("national_id", "bigint", (), PERSON, "redact"),
        ("n", "bigint", ("255081416802538",) * 8, NEITHER, "redact"),
        ("n", "bigint", ("73282932000074",) * 8, ORGANISATION, "clear"),
        ("siren", "bigint", ("12",) * 8, ORGANISATION, "hidden"),
        ("phone", "bigint", ("33639981234",) * 8, PERSON, "hidden"),
        ("email", "character varying(80)", EMAILS, PERSON, "email"),
        ("is_member", "boolean", (), PERSON, "clear"),
        ("disability", "boolean", (), PERSON, "hidden"),
        ("ref", "uuid", (), NEITHER, "clear"),
        ("reset_token", "uuid", (), NEITHER, "hidden"),
        ("addr", "inet", (), NEITHER, "truncate_ip"),
        ("net", "cidr", (), NEITHER, "truncate_ip"),
        ("profile", "jsonb", (), PERSON, "hidden"),
        ("body", "xml", (), NEITHER, "hidden"),
        ("photo", "bytea", (), PERSON, "hidden"),
        ("tags", "text[]", (), NEITHER, "hidden"),
        ("amount", "money", (), NEITHER, "hidden"),
        ("email", "jsonb", (), NEITHER, "hidden"),
        ("during", "tstzrange", (), NEITHER, "hidden"),
    ],
)  # fmt: skip
def test_a_type_says_what_may_be_done(
    name: str, declared: str, values: tuple[str, ...], about: str, wanted: str
) -> None:
    assert mask(name, declared, values, about) == wanted


def test_keys_are_clear_unless_they_are_a_persons() -> None:
    assert mask("id", "bigint", key=True) == "clear"
    assert mask("code", "text", ("A1", "B2"), key=True) == "clear"
    assert mask("company", "text", ("c1",), foreign=True) == "clear"
    assert mask("id", "text", EMAILS, PERSON, key=True) == "email"
    assert mask("session_id", "integer", foreign=True) == "clear"
    assert mask("session_id", "text", foreign=True) == "hidden"


def test_a_label_is_clear_in_a_small_table_that_refers_to_no_other() -> None:
    assert mask("libelle", "text", ("Lyon", "Nantes"), reference=True) == "clear"
    assert mask("libelle", "text", ("Lyon", "Nantes")) == "hidden"
    assert mask("libelle", "text", ("Lyon", "Nantes"), PERSON, reference=True) == "hidden"
    assert mask("label", "text", ("Ann Lee", "Bob Ray"), reference=True) == "hidden"


@pytest.mark.parametrize(
    ("relation", "columns", "wanted"),
    [
        ("employees", (), PERSON),
        ("Utilisateurs", (), PERSON),
        ("company_users", (), PERSON),
        ("user_companies", (), ORGANISATION),
        ("societes", (), ORGANISATION),
        ("orders", (), NEITHER),
        ("t1", ("id", "prenom"), PERSON),
        ("t1", ("id", "birthDate"), PERSON),
    ],
)
def test_a_relation_is_about(relation: str, columns: tuple[str, ...], wanted: str) -> None:
    assert subject(relation, columns) == wanted


@pytest.mark.parametrize(
    ("name", "declared", "wanted"),
    [
        ("status", "text", True),
        ("salary", "numeric", True),
        ("password", "text", False),
        ("religion", "text", False),
        ("flag", "boolean", False),
        ("photo", "bytea", False),
        ("doc", "jsonb", False),
    ],
)
def test_values_are_asked_for_only_where_they_matter(name: str, declared: str, wanted: bool) -> None:
    assert wants_values(Seen(name, column_type(declared))) is wanted


def test_no_value_is_in_a_proposal_or_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    value = "+33 6 39 98 77 55 needle@needle.example FR7630006000011234567890189"
    shown = io.StringIO()
    for name in ("x", "email", "nir", "phone", "status", "name", "birth"):
        for about in (PERSON, ORGANISATION, NEITHER):
            seen = Seen(name, column_type("text"), (value, "needle-2") * 20)
            print(propose(seen, about, reference=True, today=TODAY), file=shown)
    assert "needle" not in shown.getvalue() + caplog.text
    assert "39 98" not in shown.getvalue()


@pytest.mark.parametrize(
    "test", [one.test for one in classify._SORTS if one.test] + [contents.is_secret, contents.holds_personal]
)
def test_a_detector_takes_any_text_and_none_takes_nothing(test: object) -> None:
    assert callable(test)
    odd = ["", " ", "\x00", "\ud800", "9" * 5000, "a@" * 2000, "(" * 5000, "+" * 300, "١٢٣٤٥٦٧٨٩", "1" * 14 + "é"]
    assert contents.share(test, odd) <= 0.2
    assert contents.share(test, []) == 0.0
