"""Policy files: what loads, what is refused and where, and what a digest depends on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.policy.load import json_schema, load_document, load_policy, parse_policy
from gateway.policy.schema import AggregateRule, Mask, Scope, WriteRule
from gateway.policy.shapes import LARGEST, DocumentInvalid

POLICIES = Path(__file__).parents[3] / "policies"

SMALL = """\
target: crm
access:
  teams: [support]
  ticket: {projects: [SUP], states: [open]}
  duration: {default: 1h, max: 1d}
  auto_approve: masked_reads
  approvers: {teams: [security]}
limits: {exact_searches_per_hour: 5, statement_timeout: 15m}
tables:
  public.people:
    scope: company = ticket.customer
    columns:
      id: clear
      email: {mask: email, search: exact}
      size: {mask: bucket, size: 0.50}
  public.orders:
    scope: person in public.people.id
    columns: {id: clear}
reveal:
  public.people: [email]
"""


def refused(text: str) -> list[str]:
    with pytest.raises(DocumentInvalid) as caught:
        parse_policy(text, "crm.yaml")
    assert caught.value.code == "policy-invalid"
    return str(caught.value).splitlines()


def changed(old: str, new: str) -> str:
    assert SMALL.count(old) == 1, old
    return SMALL.replace(old, new)


@pytest.mark.parametrize(
    ("written", "scope"),
    [
        ('"Customer Id" = ticket.customer', Scope("customer", "Customer Id")),
        ('"company" = ticket.customer', Scope("customer", "company")),
        ('"Person Id" in public."All People"."The Id"', Scope("follows", "Person Id", "public.All People", "The Id")),
        ('person in "public"."All People".id', Scope("follows", "person", "public.All People", "id")),
    ],
)
def test_names_may_have_spaces_and_a_scope_writes_them_in_double_quotes(written: str, scope: Scope) -> None:
    text = SMALL.replace("public.people", "public.All People").replace(
        "person in public.All People.id", 'person in public."All People".id'
    )
    text = text.replace("{id: clear}\nreveal", "{id: clear, Full Name: clear}\nreveal")
    replaced = "company = ticket.customer" if scope.kind == "customer" else 'person in public."All People".id'

    policy = parse_policy(text.replace(replaced, f"'{written}'"))

    table = policy.tables["public.All People" if scope.kind == "customer" else "public.orders"]
    assert table.scope == scope
    assert "Full Name" in policy.tables["public.orders"].columns


@pytest.mark.parametrize(
    "written",
    [
        "Customer Id = ticket.customer",
        '"Customer Id = ticket.customer',
        '"Customer" Id" = ticket.customer',
        '" Id" = ticket.customer',
        '"a"."b" = ticket.customer',
        '"a" = ticket.customer or true',
    ],
)
def test_a_name_with_spaces_that_is_not_quoted_is_no_scope(written: str) -> None:
    assert "wanted a scope" in refused(changed("scope: company = ticket.customer", f"scope: '{written}'"))[0]


def test_a_policy_reads_as_it_is_written() -> None:
    policy = parse_policy(SMALL)

    assert policy.target == "crm"
    assert policy.access.max_duration_s == 86_400
    assert policy.access.ticket.assigned_to == "requester"
    assert policy.access.approver_count == 1
    assert not policy.access.direct_login
    assert policy.limits.statement_timeout_ms == 900_000
    assert policy.limits.rows_per_day == 0
    people, orders = policy.tables["public.people"], policy.tables["public.orders"]
    assert people.scope == Scope("customer", "company")
    assert orders.scope == Scope("follows", "person", "public.people", "id")
    assert people.columns["email"].search == "exact"
    assert people.columns["email"].name == "email"
    assert people.columns["size"].mask == Mask("bucket", (("size", "0.5"),))
    assert policy.reveal == {"public.people": frozenset({"email"})}


def test_a_column_may_be_aggregated_in_groups() -> None:
    rule = "size: 0.50, aggregate: {min_group: 5, subject: id}"
    text = SMALL.replace("size: 0.50", rule).replace("limits: {", "limits: {aggregates_per_hour: 9, ")
    policy = parse_policy(text)

    assert policy.tables["public.people"].columns["size"].aggregate == AggregateRule(5, "id")
    assert policy.limits.aggregates_per_hour == 9
    fewer = parse_policy(SMALL.replace("size: 0.50", rule).replace("limits: {", "limits: {aggregates_per_hour: 8, "))
    smaller = SMALL.replace("size: 0.50", rule.replace("5,", "4,")).replace(
        "limits: {", "limits: {aggregates_per_hour: 9, "
    )
    assert len({policy.digest, fewer.digest, parse_policy(smaller).digest}) == 3


def test_what_may_be_written_is_part_of_the_policy_and_its_digest() -> None:
    written = (
        "write:\n  public.people: {update: [size], insert: [size], delete: true, rows: 3, approval: request}\nreveal:"
    )
    policy = parse_policy(changed("reveal:", written))

    assert policy.write == {
        "public.people": WriteRule(frozenset({"size"}), frozenset({"size"}), delete=True, rows=3, approval="request")
    }
    least = parse_policy(changed("reveal:", "write:\n  public.people: {delete: true}\nreveal:"))
    assert least.write == {"public.people": WriteRule(delete=True, rows=1, approval="statement")}
    assert len({policy.digest, least.digest, parse_policy(SMALL).digest}) == 3


def test_an_aggregated_column_cannot_be_written() -> None:
    rule = "size: 0.50, aggregate: {min_group: 5, subject: id}"
    text = SMALL.replace("size: 0.50", rule).replace("limits: {", "limits: {aggregates_per_hour: 9, ")

    faults = refused(text.replace("reveal:", "write:\n  public.people: {update: [size]}\nreveal:"))

    assert "`size` is aggregated" in faults[0]


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("update: [id]", "says whose the values of the aggregated `size` are"),
        ("insert: [id]", "says whose the values of the aggregated `size` are"),
        ("insert: [email]", "rows count in the groups of the aggregated `size`"),
        ("update: [email]", ""),
    ],
)
def test_what_makes_the_groups_of_an_aggregated_column_cannot_be_invented(written: str, wanted: str) -> None:
    text = SMALL.replace("size: 0.50", "size: 0.50, aggregate: {min_group: 5, subject: id}").replace(
        "limits: {", "limits: {aggregates_per_hour: 9, "
    )
    text = text.replace("{mask: email, search: exact}", "{mask: partial, keep_end: 1}")
    text = text.replace("  public.orders:\n    scope: person in public.people.id\n    columns: {id: clear}\n", "")
    text = text.replace("reveal:", f"write:\n  public.people: {{{written}}}\nreveal:")
    if not wanted:
        assert parse_policy(text).write
        return

    assert any(wanted in fault for fault in refused(text))


def test_whatever_writes_needs_approvers() -> None:
    text = changed("  approvers: {teams: [security]}\n", "").replace(
        "reveal:\n  public.people: [email]", "write:\n  public.people: {delete: true}"
    )

    assert "whatever writes needs the approval of somebody else" in refused(text)[0]


def test_the_demo_policy_loads_and_names_its_cases() -> None:
    document = load_document(POLICIES / "payroll.yaml")

    assert set(document.policy.tables) == {
        "public.companies", "public.employees", "public.payslips", "public.departments",
    }  # fmt: skip
    assert document.policy.table("public.employees").columns.keys().isdisjoint({"notes", "profile"})  # type: ignore[union-attr]
    assert document.tests == POLICIES / "payroll_test.yaml"


def test_the_schema_for_editors_is_current() -> None:
    written = json.loads((POLICIES / "policy.schema.json").read_text())

    assert written == json_schema(), "write it again: gateway.policy.load.json_schema()"


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("target: crm", "target: CRM", "1:1: wanted a name of letters"),
        ("target: crm\n", "", "1:1: `target` is missing"),
        ("target: crm", "target: crm\ntarget: crm", "2:1: `target` is written twice"),
        ("teams: [support]", "teams: support", "3:3: wanted a list, not `support`"),
        ("teams: [support]", "teams: []", "3:3: the list is empty"),
        ("teams: [support]", "teams: [support, support]", "3:20: `support` is in the list already"),
        ("teams: [support]", "teems: [support]", "3:3: unknown key `teems`; did you mean `teams`?"),
        ("states: [open]", "states: [1]", "4:38: wanted a state, not the number `1`"),
        (
            "states: [open]",
            "states: [open], assigned_to: anybody",
            "4:45: wanted one of requester, team, not `anybody`",
        ),
        ("max: 1d", "max: 1w", "5:27: wanted a duration such as 30s"),
        ("max: 1d", "max: 31d", "5:27: wanted a duration"),
        (
            "max: 1d",
            "max: 3600",
            "5:27: wanted a duration such as 30s, 15m, 8h or 1d (from 60s to 2592000s), not the number",
        ),
        ("default: 1h", "default: 2d", "5:14: the default duration is longer than the maximum"),
        ("auto_approve: masked_reads", "auto_approve: always", "6:3: wanted one of never, masked_reads"),
        ("  approvers: {teams: [security]}\n", "", "2:1: `approvers` is missing"),
        (
            "{teams: [security]}",
            "{teams: [security], count: 0}",
            "7:34: wanted a whole number from 1 to 5, not the number `0`",
        ),
        ("{teams: [security]}", "{teams: [security], count: 0x1}", "7:34: wanted a whole number"),
        ("exact_searches_per_hour: 5, ", "", "14:7: `search: exact` needs a budget"),
        ("exact_searches_per_hour: 5", "exact_searches_per_hour: 0", "8:10: wanted a whole number from 1"),
        ("scope: company = ticket.customer", "note: x", "10:3: `scope` is missing"),
        ("company = ticket.customer", "company == ticket.customer", "11:5: wanted a scope: `none`"),
        ("company = ticket.customer", "company = ticket.customer or true", "11:5: wanted a scope"),
        ("company = ticket.customer", "", "11:5: wanted `none`"),
        ("person in public.people.id", "person in people.id", "17:5: wanted a scope"),
        (
            "person in public.people.id",
            "person in public.peple.id",
            "17:5: `public.peple` is not in this policy; did you mean",
        ),
        (
            "person in public.people.id",
            "id in public.orders.id",
            "17:5: the scope goes in a circle: public.orders -> public.orders",
        ),
        ("company = ticket.customer", "none", "17:5: `public.people` has `scope: none`"),
        ("public.orders", "orders", "16:3: wanted a qualified name"),
        ("public.orders", "pg_catalog.pg_class", "16:3: `pg_catalog.pg_class` belongs to the system"),
        ("id: clear\n      email", "id: klear\n      email", "13:7: there is no mask `klear`; did you mean `clear`?"),
        (
            "id: clear\n      email",
            "id: null\n      email",
            "13:7: a column needs a mask (for the mask that gives NULL write 'null' in quotes)",
        ),
        (
            "id: clear\n      email",
            "id: {mask: clear, search: exact}\n      email",
            "13:7: `search: exact` is for masked",
        ),
        ("search: exact", "search: prefix", "14:7: `search` can only be `exact`"),
        ("0.50}", "0.50, aggregate: {min_group: 5, subject: id}}", "15:7: `aggregate` needs a budget"),
        (
            "size: 0.50}",
            "size: 0.50, aggregate: {min_group: 2, subject: id}}",
            "15:7: `aggregate` must be {min_group: 3 to",
        ),
        ("0.50}", "0.50, aggregate: {min_group: 5}}", "15:7: `aggregate` must be {min_group: 3 to"),
        ("0.50}", "0.50, aggregate: {min_group: yes, subject: id}}", "15:7: `aggregate` must be"),
        ("0.50}", "0.50, aggregate: 5}", "15:7: `aggregate` must be {min_group: 3 to"),
        (
            "size: 0.50}",
            "size: 0.50, aggregate: {min_group: 5, subject: size}}",
            "15:7: the `subject` of `aggregate` must be another",
        ),
        ("0.50}", "0.50, aggregate: {min_group: 5, subject: idd}}", "15:7: the `subject` of `aggregate` must be"),
        (
            "id: clear\n      email",
            "id: {mask: clear, aggregate: {min_group: 5, subject: email}}\n      email",
            "13:7: `aggregate` is for masked columns",
        ),
        ("mask: email", "mask: email, keep_end: 2", "14:7: mask `email` has no option `keep_end`"),
        ("size: 0.50", "size: 0", "15:7: `size` of mask `bucket` must be a number from 1e-9 to 1e15"),
        ("[email]", "[emil]", "20:19: `public.people` has no column `emil` in this policy; did you mean `email`?"),
        ("[email]", "[id]", "20:19: `id` is clear already"),
        ("reveal:\n  public.people", "reveal:\n  public.persons", "20:3: `public.persons` is not in this policy"),
        ("reveal:", "write:\n  public.people: {}\nreveal:", "20:3: nothing is allowed here"),
        (
            "reveal:",
            "write:\n  public.persons: {delete: true}\nreveal:",
            "20:3: `public.persons` is not in this policy",
        ),
        ("reveal:", "write:\n  public.people: {update: [sise]}\nreveal:", "20:28: there is no column `sise`"),
        ("reveal:", "write:\n  public.people: {insert: [email]}\nreveal:", "20:28: `email` is masked with a key"),
        ("reveal:", "write:\n  public.people: {update: [id], rows: 0}\nreveal:", "20:33: wanted a whole number"),
        ("reveal:", "write:\n  public.people: {update: [id]}\nreveal:", "20:28: the scope of `public.orders`"),
        ("reveal:", "write:\n  public.people: {insert: [id]}\nreveal:", "20:28: the scope of `public.orders`"),
        ("reveal:", "write:\n  public.people: {delete: true, approval: no}\nreveal:", "20:33: wanted one of"),
        (
            "scope: person in public.people.id\n    columns: {id: clear}\nreveal:",
            "scope: person in public.people.id\n    columns: {id: clear, person: clear}\n"
            "write:\n  public.orders: {update: [person]}\nreveal:",
            "20:28: `person` says whose row it is",
        ),
        ("target: crm", "target: &a crm", "1:1: anchors and aliases"),
        (
            "target: crm",
            "target: !x crm",
            "1:1: wanted a name of letters, digits, hyphens, not the tagged value !x `crm`",
        ),
        ("target: crm", "target: crm\npurpose: session", "2:1: wanted one of global, target, ticket"),
        ("target: crm", "target: crm\nfunctions: [slugify]", "2:13: wanted a qualified name"),
        ("target: crm", "target: crm\nfunctions: [pg_catalog.pg_read_file]", "2:13: `pg_catalog.pg_read_file` belongs"),
        ("target: crm", "target: crm\ntests: ../x.yaml", "2:1: wanted a file name"),
    ],
)
def test_a_fault_is_told_with_its_place(old: str, new: str, wanted: str) -> None:
    lines = refused(changed(old, new))

    assert any(line.startswith(f"crm.yaml:{wanted}") for line in lines), lines


def test_all_faults_are_told_at_once_in_the_order_of_lines() -> None:
    lines = refused(
        changed("max: 1d", "max: 1w").replace("id: clear", "id: klear").replace("target: crm", "tarjet: crm")
    )

    places = [int(line.split(":")[1]) for line in lines]
    assert places == sorted(places)
    assert len(lines) == 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "- 1",
        "a",
        "a: [",
        "[" * 5000,
        "{a: " * 5000,
        "a: 1\n---\nb: 2",
        "\0",
        "a: \x07",
        "\ud800",
        "? [a]\n: 1",
        "<<: {a: 1}",
        "a: &x [*x]",
        "a: *b",
        "%YAML 9.9\n---\na",
        "x" * (LARGEST + 1),
        "!!python/object:os.system x",
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_what_is_no_policy_at_all_is_refused_with_a_place(text: str) -> None:
    for line in refused(text):
        assert line.startswith("crm.yaml:")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"target: crm\nx: \xe9\n")

    with pytest.raises(GatewayError, match=r"latin.yaml:2:1: is not UTF-8"):
        load_policy(latin)
    with pytest.raises(GatewayError, match="cannot be read"):
        load_policy(tmp_path / "none.yaml")


def test_layout_and_comments_do_not_change_the_digest() -> None:
    reordered = changed("target: crm\n", "") + "target: 'crm' # the same\n"
    reordered = reordered.replace("id: clear\n      email", "'id': {mask: clear}\n      email").replace("0.50", "5e-1")

    assert parse_policy(reordered).digest == parse_policy(SMALL, "other.yaml").digest
    assert len(parse_policy(SMALL).digest) == 32


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("target: crm", "target: crn"),
        ("target: crm", "target: crm\npurpose: ticket"),
        ("target: crm", "target: crm\nfunctions: [public.f]"),
        ("target: crm", "target: crm\nschemas: [app, public]"),
        ("teams: [support]", "teams: [support, care]"),
        ("states: [open]", "states: [open, new]"),
        ("states: [open]", "states: [open], assigned_to: team"),
        ("default: 1h", "default: 2h"),
        ("auto_approve: masked_reads", "auto_approve: never"),
        ("auto_approve: masked_reads", "auto_approve: masked_reads\n  direct_login: true"),
        ("auto_approve: masked_reads", "auto_approve: masked_reads\n  second_factor: any"),
        ("{teams: [security]}", "{teams: [security], count: 2}"),
        ("exact_searches_per_hour: 5", "exact_searches_per_hour: 6"),
        ("company = ticket.customer", "firm = ticket.customer"),
        ("mask: email", "mask: email, domain: keyed"),
        (", search: exact", ""),
        (", search: exact", ", search: exact, identifier: true"),
        ("exact_searches_per_hour: 5", "exact_searches_per_hour: 5, aggregates_per_hour: 5"),
        ("columns: {id: clear}", "columns: {id: clear, at: clear}"),
        ("[email]", "[email, size]"),
    ],
)
def test_any_change_of_content_changes_the_digest(old: str, new: str) -> None:
    assert parse_policy(changed(old, new)).digest != parse_policy(SMALL).digest


def test_a_policy_protects_unless_it_says_that_it_observes() -> None:
    assert parse_policy(SMALL).mode == "protect"
    assert not parse_policy(SMALL).observed
    assert parse_policy(SMALL).warning == ""
    observed = parse_policy("mode: observe\n" + SMALL)
    assert observed.observed
    assert "not protected" in observed.warning


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_targets_of_mysql_can_be_observed_too(dialect: str) -> None:
    head = f"mode: observe\ndialect: {dialect}\nschemas: [public]\n"
    assert parse_policy(
        head + SMALL.replace(", search: exact", "").replace("exact_searches_per_hour: 5, ", "")
    ).observed


def test_the_mode_is_part_of_the_digest_and_what_protects_keeps_its_own() -> None:
    assert parse_policy("mode: protect\n" + SMALL).digest == parse_policy(SMALL).digest
    assert parse_policy("mode: observe\n" + SMALL).digest != parse_policy(SMALL).digest


@pytest.mark.parametrize("mode", ["observed", "Observe", "off", "none", "true", "[observe]", "''", "~"])
def test_an_unknown_mode_gives_no_policy(mode: str) -> None:
    with pytest.raises(DocumentInvalid):
        parse_policy(f"mode: {mode}\n" + SMALL)


def test_what_becomes_of_literals_is_part_of_the_digest_and_sealing_them_is_what_happens_anyway() -> None:
    assert parse_policy("literals: sealed\n" + SMALL).digest == parse_policy(SMALL).digest
    assert parse_policy("literals: none\n" + SMALL).digest != parse_policy(SMALL).digest
    assert (parse_policy(SMALL).literals, parse_policy("literals: none\n" + SMALL).literals) == ("sealed", "none")


@pytest.mark.parametrize("literals", ["clear", "Sealed", "true", "[none]", "''", "~", "no"])
def test_nothing_else_can_become_of_them(literals: str) -> None:
    with pytest.raises(DocumentInvalid):
        parse_policy(f"literals: {literals}\n" + SMALL)
