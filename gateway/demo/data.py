"""A payroll data set that could be real: made from a seed, never from the clock, the same on every machine.

Identifiers carry valid check digits, so that software which verifies them is exercised as by real ones:
SIRET by Luhn's formula (ISO/IEC 7812-1 annex B), French IBANs by ISO 13616 (mod 97) around a valid RIB key, social
security numbers (NIR) by INSEE's key, consistent with sex and date of birth. Telephone numbers come from the
range that the French regulator keeps for fiction (ARCEP decision 2018-0881, 06 39 98 xx xx).

Company 42 always exists, with 41 and 43 beside it, when there are three companies or more.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import psycopg
from psycopg import sql

from gateway.demo.names import COMPANY_HEADS, COMPANY_TAILS, MEN, SURNAMES, WOMEN

VERSION = 1
CUSTOMER = 42
ANCHOR = date(2026, 10, 1)

SCHEMA = """
create table public.companies (
    id int primary key,
    name text not null,
    siret text not null unique,
    plan text not null,
    created_at timestamptz not null
);
create table public.departments (
    code text primary key,
    label text not null
);
create table public.employees (
    id int primary key,
    company_id int not null references public.companies,
    first_name text not null,
    last_name text not null,
    email text not null unique,
    phone text,
    iban text,
    nir text,
    birth_date date not null,
    salary numeric(10, 2) not null,
    department text not null references public.departments,
    job_title text not null,
    hired_on date not null,
    status text not null,
    notes text,
    profile jsonb not null
);
create table public.payslips (
    id bigint primary key,
    employee_id int not null references public.employees,
    period date not null,
    gross numeric(10, 2) not null,
    net numeric(10, 2) not null,
    paid_on date not null
);
"""
INDEXES = """
create index employees_company_id on public.employees (company_id);
create index payslips_employee_id on public.payslips (employee_id);
"""

DEPARTMENTS = {
    "ADM": "Administration",
    "FIN": "Finance",
    "HR": "Ressources humaines",
    "IT": "Informatique",
    "LOG": "Logistique",
    "MKT": "Marketing",
    "OPS": "Exploitation",
    "SAL": "Ventes",
}
_JOBS: dict[str, tuple[tuple[str, int], ...]] = {
    "ADM": (("Assistant de direction", 31_000), ("Office manager", 36_000), ("Juriste", 48_000)),
    "FIN": (("Comptable", 34_000), ("Contrôleur de gestion", 47_000), ("Directeur financier", 98_000)),
    "HR": (("Gestionnaire de paie", 33_000), ("Chargé de recrutement", 38_000), ("DRH", 88_000)),
    "IT": (("Technicien support", 29_000), ("Développeur", 46_000), ("Architecte logiciel", 72_000)),
    "LOG": (("Magasinier", 23_500), ("Chauffeur-livreur", 25_000), ("Responsable d'entrepôt", 41_000)),
    "MKT": (("Chargé de communication", 32_000), ("Chef de produit", 45_000), ("Directeur marketing", 86_000)),
    "OPS": (("Opérateur", 24_000), ("Chef d'équipe", 33_000), ("Directeur d'exploitation", 79_000)),
    "SAL": (("Commercial", 35_000), ("Ingénieur d'affaires", 54_000), ("Directeur commercial", 92_000)),
}
_PLANS = ("starter", "business", "business", "enterprise")
_STATUSES = ("active",) * 17 + ("on_leave", "sick_leave", "notice")
_RELATIONS = ("conjoint", "mère", "père", "sœur", "frère", "ami")
_BANKS = (
    ("10278", "CMCIFR2A"),
    ("20041", "PSSTFRPP"),
    ("30002", "CRLYFRPP"),
    ("30003", "SOGEFRPP"),
    ("30004", "BNPAFRPP"),
)
_NOTES = (
    "{first} {last} en mi-temps thérapeutique depuis le {day} (lombalgie). Joindre au {phone}.",
    "Appel de {first} du {day} : diabète de type 1, demande un aménagement d'horaires. Rappeler au {phone}.",
    "Congé maternité ou parental prévu à partir du {day}. Contact pendant l'absence : {relative} ({phone}).",
    "Saisie sur salaire notifiée le {day}. {first} {last} ne souhaite pas que son équipe le sache.",
    "RQTH reconnue le {day} ; dossier médical chez le Dr {doctor}. Ne pas diffuser.",
    "Divorce en cours, nouvelle adresse à venir. Écrire à {email} plutôt qu'au bureau.",
    "Entretien du {day} : surmenage, suivi par le Dr {doctor}. Prévenir {relative} au {phone} en cas d'urgence.",
    "Virement de {month} revenu impayé ; vérifier l'IBAN {iban} avec {first} avant le prochain.",
)
_RIB_DIGIT = {letter: str(1 + index) for index, letter in enumerate("ABCDEFGHI")}
_RIB_DIGIT |= {letter: str(1 + index) for index, letter in enumerate("JKLMNOPQR")}
_RIB_DIGIT |= {letter: str(2 + index) for index, letter in enumerate("STUVWXYZ")}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many rows of each; payslips go back from `ANCHOR` month by month, one per employee and month."""

    companies: int = 25
    employees: int = 5_000
    payslips: int = 60_000


SMALL = Sizes(companies=5, employees=200, payslips=600)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows in the order of the tables' columns."""

    companies: list[tuple[Any, ...]]
    departments: list[tuple[Any, ...]]
    employees: list[tuple[Any, ...]]
    payslips: list[tuple[Any, ...]]


def generate(sizes: Sizes = Sizes(), seed: int = 2026) -> Dataset:
    """The data set of that seed and size; the same arguments give the same rows, anywhere and at any time."""
    rng = Random(seed)
    companies = list(_companies(rng, sizes.companies))
    employees = list(_employees(rng, companies, sizes.employees))
    return Dataset(companies, list(DEPARTMENTS.items()), employees, list(_payslips(rng, employees, sizes.payslips)))


def stamp(sizes: Sizes, seed: int) -> str:
    """Names the content that `generate` makes from these arguments in this version of the program."""
    return f"payroll v{VERSION} {sizes.companies}/{sizes.employees}/{sizes.payslips} seed {seed}"


def load(connection: psycopg.Connection[Any], dataset: Dataset) -> None:
    """Create the four tables and fill them by COPY."""
    connection.execute(SCHEMA)
    tables: tuple[tuple[str, Iterable[tuple[Any, ...]]], ...] = (
        ("companies", dataset.companies),
        ("departments", dataset.departments),
        ("employees", dataset.employees),
        ("payslips", dataset.payslips),
    )
    for table, rows in tables:
        statement = sql.SQL("copy {} from stdin").format(sql.Identifier("public", table))
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    connection.execute(INDEXES)


def luhn_digit(digits: str) -> str:
    """The digit that, appended, makes the number pass Luhn's formula."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def french_iban(bank: str, branch: str, account: str) -> str:
    """The IBAN of a French account, from 5, 5 and 11 characters."""
    digits = "".join(_RIB_DIGIT.get(character, character) for character in account)
    key = 97 - (89 * int(bank) + 15 * int(branch) + 3 * int(digits)) % 97
    bban = f"{bank}{branch}{account}{key:02d}"
    check = 98 - int("".join(str(int(character, 36)) for character in bban + "FR00")) % 97
    return f"FR{check:02d}{bban}"


def social_security_number(*, woman: bool, born: date, department: str, commune: int, order: int) -> str:
    """The 15 characters of a NIR, key included; `department` is two characters, Corsica's `2A` and `2B` among them."""
    body = f"{2 if woman else 1}{born:%y%m}{department}{commune:03d}{order:03d}"
    number = int(body.replace("2A", "19", 1) if department == "2A" else body.replace("2B", "18", 1))
    return f"{body}{97 - number % 97:02d}"


def _companies(rng: Random, count: int) -> Iterator[tuple[Any, ...]]:
    first = max(1, CUSTOMER - count // 2)
    names = [f"{head} {tail}" for head in COMPANY_HEADS for tail in COMPANY_TAILS]
    rng.shuffle(names)
    for index in range(count):
        turn, place = divmod(index, len(names))
        name = names[place] + (f" {turn + 1}" if turn else "")
        created = datetime(2016, 1, 4, 8, tzinfo=UTC) + timedelta(minutes=rng.randrange(60 * 24 * 365 * 9))
        yield first + index, name, _siret(rng), rng.choice(_PLANS), created


def _siret(rng: Random) -> str:
    siren = f"{rng.randrange(30_000_000, 95_000_000):08d}"
    siren += luhn_digit(siren)
    body = siren + f"{rng.randrange(1, 40):04d}"
    return body + luhn_digit(body)


def _employees(rng: Random, companies: Sequence[tuple[Any, ...]], count: int) -> Iterator[tuple[Any, ...]]:
    # Every company has its share of a tenth of the staff, so that none is empty; the rest is spread unevenly.
    weights = [rng.uniform(0.4, 2.5) for _ in companies]
    domains = {company[0]: f"{_ascii(company[1])}-{company[0]}.example" for company in companies}
    taken: set[str] = set()
    for number in range(1, count + 1):
        if number <= count // 10 or number <= len(companies):
            company = companies[(number - 1) % len(companies)][0]
        else:
            company = rng.choices(companies, weights)[0][0]
        woman = rng.random() < 0.5
        first = rng.choice(WOMEN if woman else MEN)
        last = rng.choice(SURNAMES)
        email = _email(first, last, domains[company], taken)
        born = date(1961, 1, 1) + timedelta(days=rng.randrange(365 * 44))
        adult = date(born.year + 18, born.month, 1)
        hired = adult + timedelta(days=rng.randrange(max(1, (date(2025, 9, 1) - adult).days)))
        department = rng.choice(tuple(DEPARTMENTS))
        # Few reach the last, best paid job of a department.
        job, base = rng.choices(_JOBS[department], (12, 6, 1))[0]
        salary = Decimal(round(base * rng.uniform(0.9, 1.35) / 12)) * 12
        phone = _phone(rng)
        bank, bic = rng.choice(_BANKS)
        account = "".join(rng.choice("0123456789" * 3 + "ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(11))
        iban = french_iban(bank, f"{rng.randrange(1, 99_999):05d}", account)
        nir = social_security_number(
            woman=woman,
            born=born,
            department=_birth_department(rng),
            commune=rng.randrange(1, 900),
            order=rng.randrange(1, 999),
        )
        person = {"first": first, "last": last, "phone": phone, "iban": iban, "email": email}
        yield (
            number,
            company,
            first,
            last,
            email,
            phone,
            iban,
            nir,
            born,
            salary,
            department,
            job,
            hired,
            rng.choice(_STATUSES),
            _note(rng, person) if rng.random() < 0.6 else None,
            json.dumps(_profile(rng, last, iban, bic), ensure_ascii=False),
        )


def _payslips(rng: Random, employees: Sequence[tuple[Any, ...]], count: int) -> Iterator[tuple[Any, ...]]:
    for number in range(count):
        month, place = divmod(number, len(employees))
        employee = employees[place]
        period = _months_before(ANCHOR, month + 1)
        gross = (employee[9] / 12 + (rng.randrange(0, 40) * 10 if rng.random() < 0.15 else 0)).quantize(Decimal("0.01"))
        net = (gross * Decimal(rng.randrange(765, 790)) / 1000).quantize(Decimal("0.01"))
        yield number + 1, employee[0], period, gross, net, period + timedelta(days=26 + rng.randrange(2))


def _months_before(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, 1)


def _birth_department(rng: Random) -> str:
    number = rng.choice([*range(1, 20), *range(21, 96), 200, 201])
    return {200: "2A", 201: "2B"}.get(number, f"{number:02d}")


def _phone(rng: Random) -> str:
    return f"+33 6 39 98 {rng.randrange(100):02d} {rng.randrange(100):02d}"


def _email(first: str, last: str, domain: str, taken: set[str]) -> str:
    stem, turn = f"{_ascii(first)}.{_ascii(last)}", 1
    email = f"{stem}@{domain}"
    while email in taken:
        turn += 1
        email = f"{stem}{turn}@{domain}"
    taken.add(email)
    return email


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join(plain.replace("'", " ").split())


def _note(rng: Random, person: dict[str, str]) -> str:
    day = ANCHOR - timedelta(days=rng.randrange(20, 700))
    return rng.choice(_NOTES).format(
        **person,
        day=f"{day:%d/%m/%Y}",
        month=f"{day:%m/%Y}",
        doctor=rng.choice(SURNAMES),
        relative=f"{rng.choice(WOMEN + MEN)} {person['last']}",
    )


def _profile(rng: Random, last: str, iban: str, bic: str) -> dict[str, Any]:
    return {
        "emergency_contact": {
            "name": f"{rng.choice(WOMEN + MEN)} {last}",
            "relation": rng.choice(_RELATIONS),
            "phone": _phone(rng),
        },
        "bank": {"iban": iban, "bic": bic},
        "preferences": {
            "language": rng.choice(("fr", "fr", "fr", "en")),
            "payslip": rng.choice(("electronic", "paper")),
            "meal_vouchers": rng.random() < 0.7,
        },
    }
