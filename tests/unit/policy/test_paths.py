"""Whose rows are whose: the customers are found by name and by what depends on them, scopes by foreign keys alone."""

from __future__ import annotations

import pytest

from gateway.policy.paths import Customer, Reference, Way, find_customer, find_ways

PAYROLL = (
    Reference("public.employees", "company_id", "public.companies", "id"),
    Reference("public.employees", "department", "public.departments", "code"),
    Reference("public.payslips", "employee_id", "public.employees", "id"),
)


def keys(*relations: str) -> dict[str, str]:
    return {f"public.{name}": "id" for name in relations}


@pytest.mark.parametrize(
    ("relations", "references", "wanted"),
    [
        (("companies", "employees", "payslips", "departments"), PAYROLL, "public.companies"),
        (("tenants", "users"), (), "public.tenants"),
        (("Societes", "salaries"), (), "public.Societes"),
        (("customer_notes", "crm_clients"), (), "public.crm_clients"),
        # what more depends on goes before the more usual name
        (
            ("customers", "accounts"),
            (Reference("public.customers", "account_id", "public.accounts", "id"),),
            "public.accounts",
        ),
        (("customers", "old_customers"), (), "public.customers"),
        (("orders", "lines"), (), None),
        ((), (), None),
    ],
)
def test_the_customers_are(relations: tuple[str, ...], references: tuple[Reference, ...], wanted: str | None) -> None:
    found = find_customer(keys(*relations), references)
    assert (found and found.relation) == wanted
    assert found is None or "by its name" in found.guessed


def test_what_else_the_customers_could_be_is_said() -> None:
    found = find_customer(keys("customers", "accounts", "orders"), ())
    assert found is not None
    assert found.guessed.endswith("; called alike: public.accounts")


def test_a_scope_is_direct_or_follows_the_other_tables() -> None:
    ways = find_ways(Customer("public.companies", "id"), PAYROLL)
    assert {name: way.scope for name, way in ways.items()} == {
        "public.companies": "id = ticket.customer",
        "public.employees": "company_id = ticket.customer",
        "public.payslips": "employee_id in public.employees.id",
    }


def test_a_key_that_is_not_the_customers_is_followed() -> None:
    ways = find_ways(
        Customer("public.companies", "number"), (Reference("public.sites", "company", "public.companies", "id"),)
    )
    assert ways["public.sites"].scope == "company in public.companies.id"


def test_the_shortest_way_is_taken_the_certain_one_first_and_the_others_are_said() -> None:
    ways = find_ways(
        Customer("s.companies", "id"),
        (
            Reference("s.orders", "buyer", "s.people", "id"),
            Reference("s.orders", "agency", "s.companies", "id", optional=True),
            Reference("s.orders", "company", "s.companies", "id"),
            Reference("s.people", "company", "s.companies", "id"),
        ),
    )
    assert ways["s.orders"] == Way("company", others=("buyer -> s.people.id", "agency -> s.companies.id"))


def test_circles_end_and_lead_nowhere() -> None:
    ways = find_ways(
        Customer("s.companies", "id"),
        (
            Reference("s.a", "b", "s.b", "id"),
            Reference("s.b", "a", "s.a", "id"),
            Reference("s.c", "parent", "s.c", "id"),
            Reference("s.companies", "parent", "s.companies", "id"),
            Reference("s.companies", "head", "s.d", "id"),
            Reference("s.d", "company", "s.companies", "id"),
        ),
    )
    assert set(ways) == {"s.companies", "s.d"}
    assert ways["s.companies"] == Way("id")


def test_names_with_spaces_stand_in_double_quotes() -> None:
    ways = find_ways(
        Customer("we ird.customers", "id"),
        (Reference("s.a", "the customer", "we ird.customers", "id"), Reference("s.b", "none", "s.a", "a b")),
    )
    assert ways["s.a"].scope == '"the customer" = ticket.customer'
    assert ways["s.b"].scope == '"none" in s.a."a b"'
