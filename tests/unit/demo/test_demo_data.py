"""The generated payroll: its check digits by independent implementations, its consistency, its determinism."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import date, timedelta

import pytest

from gateway.demo.data import (
    ANCHOR,
    DEPARTMENTS,
    SMALL,
    Dataset,
    Sizes,
    french_iban,
    generate,
    luhn_digit,
    social_security_number,
)

COMPANY, FIRST, LAST, EMAIL, PHONE, IBAN, NIR, BORN, SALARY, DEPARTMENT = range(1, 11)
HIRED, STATUS, NOTES, PROFILE = range(12, 16)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return generate(Sizes(companies=25, employees=1_000, payslips=2_500), seed=7)


def passes_luhn(number: str) -> bool:
    """ISO/IEC 7812-1 annex B, with the doubled digits looked up."""
    doubled = dict(zip("0123456789", (0, 2, 4, 6, 8, 1, 3, 5, 7, 9), strict=True))
    right_to_left = number[::-1]
    return (sum(map(int, right_to_left[::2])) + sum(doubled[digit] for digit in right_to_left[1::2])) % 10 == 0


def passes_iban(iban: str) -> bool:
    """ISO 13616: first four characters to the end, letters as 10-35, remainder one; piecewise division."""
    remainder = 0
    for character in iban[4:] + iban[:4]:
        for digit in str("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(character)):
            remainder = (remainder * 10 + int(digit)) % 97
    return remainder == 1


def passes_rib(iban: str) -> bool:
    """The French national check: bank, branch, account and key as one number are divisible by 97."""
    table = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "12345678912345678923456789")
    return int(iban[4:].translate(table)) % 97 == 0


def passes_nir(nir: str) -> bool:
    """INSEE: the key is the complement to 97 of the number; Corsica's letters subtract from a number with zeros."""
    body, key = nir[:13], int(nir[13:])
    corsica = {"2A": 1_000_000, "2B": 2_000_000}.get(body[5:7], 0)
    number = int(body.replace("A", "0").replace("B", "0")) - corsica
    return (number + key) % 97 == 0


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (passes_luhn, "73282932000074", "73282932000075"),
        (passes_iban, "FR1420041010050500013M02606", "FR1420041010050500013M02607"),
        (passes_rib, "FR1420041010050500013M02606", "FR1420041010050500013M02616"),
        (passes_nir, "255081416802538", "255081416802539"),
    ],
)
def test_the_checks_themselves_know_published_examples(check: object, good: str, bad: str) -> None:
    assert callable(check)
    assert check(good)
    assert not check(bad)


def test_published_identifiers_are_reproduced() -> None:
    assert french_iban("20041", "01005", "0500013M026") == "FR1420041010050500013M02606"
    assert luhn_digit("7328293200007") == "4"
    born = date(1955, 8, 1)
    assert social_security_number(woman=True, born=born, department="14", commune=168, order=25) == "255081416802538"


@pytest.mark.parametrize("department", ["2A", "2B"])
def test_corsican_numbers_have_valid_keys(department: str) -> None:
    nir = social_security_number(woman=False, born=date(1980, 2, 3), department=department, commune=4, order=77)
    assert nir.startswith(f"18002{department}004077")
    assert passes_nir(nir)


def test_every_siret_passes_luhn_as_a_whole_and_in_its_siren(dataset: Dataset) -> None:
    for company in dataset.companies:
        assert re.fullmatch(r"\d{14}", company[2])
        assert passes_luhn(company[2])
        assert passes_luhn(company[2][:9])


def test_every_iban_passes_both_of_its_checks(dataset: Dataset) -> None:
    for employee in dataset.employees:
        assert re.fullmatch(r"FR\d{2}\d{10}[0-9A-Z]{11}\d{2}", employee[IBAN])
        assert passes_iban(employee[IBAN])
        assert passes_rib(employee[IBAN])


def test_every_social_security_number_is_valid_and_tells_the_date_of_birth(dataset: Dataset) -> None:
    for employee in dataset.employees:
        nir = employee[NIR]
        assert re.fullmatch(r"[12]\d{4}(\d{2}|2A|2B)\d{8}", nir)
        assert passes_nir(nir)
        assert nir[1:5] == f"{employee[BORN]:%y%m}"
    assert {employee[NIR][5:7] for employee in dataset.employees} > {"2A", "2B"}


def test_customer_42_and_its_neighbours_exist_and_nobody_is_without_staff(dataset: Dataset) -> None:
    ids = [company[0] for company in dataset.companies]
    assert len(ids) == len(set(ids)) == 25
    assert {41, 42, 43} <= set(ids)
    staff = Counter(employee[COMPANY] for employee in dataset.employees)
    assert set(staff) == set(ids)
    assert min(staff.values()) >= 4


def test_emails_are_unique_ascii_and_of_the_company_s_own_domain(dataset: Dataset) -> None:
    emails = [employee[EMAIL] for employee in dataset.employees]
    assert len(set(emails)) == len(emails)
    domains: dict[str, set[int]] = {}
    for employee in dataset.employees:
        local, _, domain = employee[EMAIL].partition("@")
        assert re.fullmatch(r"[a-z0-9.-]+", local)
        assert domain.endswith(".example")
        domains.setdefault(domain, set()).add(employee[COMPANY])
    assert all(len(companies) == 1 for companies in domains.values())


def test_dates_follow_from_one_another(dataset: Dataset) -> None:
    for employee in dataset.employees:
        assert employee[HIRED] - employee[BORN] >= timedelta(days=365 * 18 - 31)
        assert employee[HIRED] < ANCHOR
    for payslip in dataset.payslips:
        assert payslip[2].day == 1
        assert payslip[2] < payslip[5] < ANCHOR
        assert payslip[4] < payslip[3]


def test_payslips_are_one_per_person_and_month(dataset: Dataset) -> None:
    keys = {(payslip[1], payslip[2]) for payslip in dataset.payslips}
    assert len(keys) == len(dataset.payslips) == 2_500
    assert {payslip[2] for payslip in dataset.payslips} == {date(2026, 9, 1), date(2026, 8, 1), date(2026, 7, 1)}


def test_departments_are_the_ones_that_exist(dataset: Dataset) -> None:
    assert {employee[DEPARTMENT] for employee in dataset.employees} == set(DEPARTMENTS)


def test_notes_hold_the_personal_data_that_a_mask_must_not_let_through(dataset: Dataset) -> None:
    notes = [(employee, employee[NOTES]) for employee in dataset.employees if employee[NOTES]]
    assert 400 < len(notes) < 800
    assert any(employee[PHONE] in note for employee, note in notes)
    assert any(employee[IBAN] in note for employee, note in notes)
    assert any(employee[EMAIL] in note for employee, note in notes)
    assert any("diabète" in note for _, note in notes)
    assert not any("{" in note for _, note in notes)


def test_profiles_are_json_objects_that_repeat_the_iban(dataset: Dataset) -> None:
    for employee in dataset.employees:
        profile = json.loads(employee[PROFILE])
        assert set(profile) == {"emergency_contact", "bank", "preferences"}
        assert profile["bank"]["iban"] == employee[IBAN]


def test_phone_numbers_come_from_the_range_for_fiction(dataset: Dataset) -> None:
    assert all(re.fullmatch(r"\+33 6 39 98 \d\d \d\d", employee[PHONE]) for employee in dataset.employees)


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    assert generate(SMALL, 1) == generate(SMALL, 1)
    assert generate(SMALL, 1).employees != generate(SMALL, 2).employees


def test_the_full_size_is_what_the_demonstration_promises() -> None:
    sizes = Sizes()
    assert (sizes.companies, sizes.employees, sizes.payslips) == (25, 5_000, 60_000)
