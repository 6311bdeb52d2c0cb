"""A view of the payroll corpus in which the salaries and net pay of groups of five may be summed up."""

from __future__ import annotations

from gateway.policy.load import parse_policy
from gateway.sql.statement import View

POLICY = """
target: payroll
access:
  teams: [support]
  ticket: {projects: [SUP], states: [open]}
  duration: {default: 1h, max: 8h}
  approvers: {teams: [security], count: 1}
limits: {exact_searches_per_hour: 60, aggregates_per_hour: 20}
tables:
  public.companies:
    scope: id = ticket.customer
    columns: {id: clear, name: clear, plan: clear}
  public.employees:
    scope: company_id = ticket.customer
    columns:
      id: clear
      name: {mask: pseudonym, domain: last_name}
      email: {mask: email, search: exact}
      salary: {mask: bucket, size: 10000, aggregate: {min_group: 5, subject: id}}
      status: clear
      mood: clear
  public.payslips:
    scope: employee_id in public.employees.id
    columns:
      id: clear
      employee_id: clear
      net: {mask: 'null', aggregate: {min_group: 5, subject: employee_id}}
      period: {mask: year}
  public.countries:
    scope: none
    columns: {code: clear, label: clear}
reveal:
  public.employees: [salary]
"""


def aggregate_view(catalog: object, customer: str = "42", **changes: object) -> View:
    """The view of one customer."""
    return View(**{"policy": parse_policy(POLICY), "catalog": catalog, "customers": (customer,), **changes})  # type: ignore[arg-type]
