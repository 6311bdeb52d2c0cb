"""What a statement was given is sealed, and recognised, and stands nowhere in clear."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from hashlib import sha256

import pytest
from literal_world import NOW, later

from gateway.errors import GatewayError, Refusal
from gateway.literals import seal as seal_module
from gateway.literals.seal import month_begin, month_end
from gateway.literals.values import decoded, spelled
from gateway.sql.said import KEPT, Bound, Said

EMAIL = "alice.martin@exemple.fr"
LOOK = f"SELECT id FROM people WHERE email = '{EMAIL}'"


def test_a_literal_is_sealed_and_two_people_read_it(world):
    record = world.ask(world.enter(), LOOK)

    assert record["sql"] == "SELECT id FROM people WHERE email = $1"
    assert record["sealed"].startswith("2026-11.")
    assert world.opened(record) == {
        "record": record["index"], "time": record["time"], "login": "alice",
        "texts": [LOOK], "values": [], "incomplete": False,
    }  # fmt: skip
    [opening] = world.records("audit.unsealed")
    assert opening["record"] == record["index"]
    assert (opening["asked_by"], opening["confirmed_by"], opening["login"]) == ("u8", "u9", "carol")
    assert opening["customers"] == ["42"]


@pytest.mark.parametrize(
    "text",
    [
        LOOK,
        f"SELECT id FROM people /* {EMAIL} */",
        f"SELECT id FROM people -- {EMAIL}",
        f"SELECT id FROM people WHERE email = $x${EMAIL}$x$",
        f"DECLARE c CURSOR FOR SELECT id FROM people WHERE email = '{EMAIL}'",
        f"COPY (SELECT id FROM people WHERE email = '{EMAIL}') TO STDOUT",
        f"SELECT id FROM people; SELECT id FROM people WHERE city = '{EMAIL}'",
        f"SELECT '{EMAIL}'",
        f"SET application_name TO '{EMAIL}'",
        # refused
        f"SELECT id FROM secrets WHERE email = '{EMAIL}'",
        f"DELETE FROM people WHERE email = '{EMAIL}'",
        f"SELECT id FROM WHERE '{EMAIL}'",
        f"DO $$ {EMAIL} $$",
    ],
)
def test_wherever_a_literal_stands_it_is_in_the_seal_and_in_no_file(world, text):
    record = world.ask(world.enter(), text)

    assert EMAIL in world.opened(record)["texts"][0]
    assert EMAIL.encode() not in world.everything_on_disk()


def test_a_prepared_statement_tells_what_each_run_was_given(world):
    inside = world.enter()
    runs = [world.ask(inside, "SELECT id FROM people WHERE email = $1", value) for value in (EMAIL, "b@x.fr", None)]

    assert [world.opened(run)["values"] for run in runs] == [[f"$1 = {EMAIL}"], ["$1 = b@x.fr"], ["$1 = NULL"]]
    assert runs[0]["subjects"] != runs[1]["subjects"]
    assert "subjects" not in runs[2]
    assert EMAIL.encode() not in world.everything_on_disk()


def test_a_statement_without_values_seals_nothing(world):
    record = world.ask(world.enter(), "SELECT id FROM people")

    assert "sealed" not in record
    assert "subjects" not in record
    assert world.opened(record).code == "not-found"


def test_texts_of_one_template_keep_their_own_values(world):
    inside = world.enter()
    found = [world.ask(inside, f"SELECT id FROM people WHERE email = 'p{n}@x.fr.' AND id = {n}") for n in range(4)]

    assert world.plans.hits >= 2
    assert ["p%d@x.fr." % n in world.opened(one)["texts"][0] for n, one in enumerate(found)] == [True] * 4  # noqa: UP031
    again = world.ask(inside, "SELECT id FROM people WHERE city = 'x' AND email = 'P3@x.fr. '")
    assert again["subjects"] == found[3]["subjects"]
    assert len({one["subjects"] for one in found}) == 4


@pytest.mark.parametrize("spelling", ["Alice.Martin@Exemple.FR", f" {EMAIL}", f"ａ{EMAIL[1:]}"])
def test_spellings_of_one_value_have_one_token(world, spelling):
    inside = world.enter()

    assert (
        world.ask(inside, "SELECT id FROM people WHERE email = $1", spelling)["subjects"]
        == (world.ask(inside, LOOK)["subjects"])
    )


def test_an_execute_in_sql_is_about_whom_it_brings(world):
    inside = world.enter()
    world.ask(inside, "PREPARE q AS SELECT id FROM people WHERE email = $1")
    record = world.ask(inside, f"EXECUTE q('{EMAIL}')")

    assert record["subjects"] == world.ask(inside, LOOK)["subjects"]


def test_a_refused_look_up_is_recognised_too(world):
    inside = world.enter()
    refused = world.ask(inside, f"SELECT pg_read_file('x') FROM people WHERE email = '{EMAIL}'")

    assert refused["kind"] == "statement.refused"
    assert refused["subjects"] == world.ask(inside, LOOK)["subjects"]
    assert world.literals.tokens(EMAIL) == [refused["subjects"]]


@pytest.mark.parametrize("at", [seal_module.LIMIT - 2_000, seal_module.LIMIT + 2_000])
def test_a_long_text_is_cut_and_says_so(world, at):
    text = f"SELECT id FROM people WHERE city = '{'x' * at}'"
    verdict = world.plans.judge(world.gate._view(None), 0, text)
    inside = world.enter()
    inside.studied = text, verdict
    record = world.ask(inside, text)
    cut = at > seal_module.LIMIT

    assert record["sealed"].endswith(".cut") is cut
    assert world.opened(record)["incomplete"] is cut
    assert len(world.opened(record)["texts"][0]) == min(len(text), seal_module.LIMIT)


def test_of_too_long_values_the_beginning_is_kept_and_whom_they_are_about(world):
    inside = world.enter()
    record = world.ask(inside, "SELECT id FROM people WHERE city = $1 AND email = $2", "x" * KEPT, EMAIL)

    assert record["sealed"].endswith(".cut")
    assert world.opened(record)["incomplete"]
    assert record["subjects"] == world.ask(inside, LOOK)["subjects"]


def test_more_values_than_a_record_takes_are_counted(world):
    names = ", ".join(f"'p{n}@x.fr'" for n in range(150))
    record = world.ask(world.enter("42", "43"), f"SELECT id FROM people WHERE email IN ({names})")

    *tokens, rest = record["subjects"].split(" ")
    assert (len(tokens), rest) == (96, "+204")


def test_the_policy_may_keep_nothing_and_still_recognise(worlds):
    world = worlds(extra="literals: none")
    record = world.ask(world.enter(), LOOK)

    assert "sealed" not in record
    assert world.literals.tokens(EMAIL) == [record["subjects"]]
    assert not list((world.directory / "sealed").rglob("*.blobs"))


def test_grants_for_several_customers_seal_under_all_of_them(world):
    one, two, both = (world.ask(world.enter(*names), LOOK) for names in (("42",), ("43",), ("43", "42")))

    assert both["subjects"].split(" ") == [one["subjects"], two["subjects"]]
    assert sorted(world.literals.tokens(EMAIL)) == sorted([one["subjects"], two["subjects"]])
    assert world.opened(both)["texts"] == [LOOK]


def test_a_new_month_has_a_new_key_and_a_new_directory(world):
    inside = world.enter()
    first = world.ask(inside, LOOK)
    world.now = later(days=3)
    second = world.ask(inside, LOOK)

    assert [one["sealed"][:7] for one in (first, second)] == ["2026-11", "2026-12"]
    assert first["subjects"] == second["subjects"]
    world.literals.seals.blobs.flush()
    assert world.literals.seals.blobs.months() == ["2026-11", "2026-12"]
    assert world.opened(first)["texts"] == world.opened(second)["texts"] == [LOOK]


def test_a_later_life_opens_what_an_earlier_one_sealed(worlds):
    world = worlds()
    record = world.ask(world.enter(), LOOK)
    world.close()

    assert worlds().opened(record)["texts"] == [LOOK]


def test_files_and_directories_are_private(world):
    world.ask(world.enter(), LOOK)
    world.literals.seals.blobs.flush()
    found = {path: path.stat().st_mode & 0o777 for path in (world.directory / "sealed").rglob("*")}

    assert {mode for path, mode in found.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in found.items() if path.is_file()} == {0o600}


# what is opened is what was sealed


def blob_of(world, record):
    digest = bytes.fromhex(record["sealed"][8:72])
    world.literals.seals.blobs.flush()
    return digest, world.literals.seals.blobs.find("2026-11", digest)


def test_the_record_commits_to_the_blob_and_the_blob_to_its_key(world):
    record = world.ask(world.enter(), LOOK)
    digest, blob = blob_of(world, record)
    key, another = (world.literals.keyring.opening((one,), "2026-11") for one in ("42", "42"))
    world.enter("43")

    assert sha256(blob).digest() == digest
    assert seal_module.opened(key, blob, record["statement"]) == [("t", LOOK.encode())]
    assert another.head == key.head
    assert world.literals.keyring.opening(("43",), "2026-11").head != key.head
    # a key that is not the one is refused before it is tried, whatever the cipher would say
    assert seal_module.opened(world.literals.keyring.opening(("43",), "2026-11"), blob, record["statement"]) is None
    assert seal_module.opened(key, blob, "s1.999") is None


def test_a_changed_blob_is_not_found(world):
    record = world.ask(world.enter(), LOOK)
    world.literals.seals.blobs.flush()
    [path] = (world.directory / "sealed").rglob("*.blobs")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    found = world.opened(record)
    assert (found.code, found.message) == ("not-found", "the sealed literals of that record are not there")
    assert world.records("audit.unsealed") == []


def test_a_blob_that_a_crash_took_is_said_to_be_missing(world):
    record = world.ask(world.enter(), LOOK)
    world.literals.seals.blobs.flush()
    [path] = (world.directory / "sealed").rglob("*.blobs")
    os.truncate(path, path.stat().st_size - 5)

    assert "crash" in world.opened(record).hint


def test_keys_are_in_the_store_only_wrapped(world):
    world.ask(world.enter(), LOOK)
    with contextlib.closing(sqlite3.connect(world.directory / "gateway.sqlite")) as store, store:
        rows = store.execute("SELECT use, customer, month, wrapped FROM sealing_keys ORDER BY use").fetchall()

    assert [row[:3] for row in rows] == [("seal", "42", "2026-11"), ("token", "42", "")]
    assert all(len(row[3]) == 12 + 32 + 16 for row in rows)


def test_a_key_moved_to_another_customer_does_not_open(world):
    world.ask(world.enter(), LOOK)
    with contextlib.closing(sqlite3.connect(world.directory / "gateway.sqlite")) as store, store:
        store.execute("UPDATE sealing_keys SET customer = '43' WHERE use = 'seal'")

    with pytest.raises(GatewayError, match="cannot be read"):
        world.literals.keyring.opening(("43",), "2026-11")


# fail closed


def test_without_room_for_literals_no_statement_runs(world):
    inside = world.enter()
    world.literals.seals.blobs.refusing = "the disk is full"
    found = world.run(_admit(world, inside, LOOK))

    assert isinstance(found.refusal, Refusal)
    assert (found.refusal.code, found.refusal.fatal) == ("audit-not-writable", True)
    # one that says nothing needs no room
    assert not hasattr(world.run(_admit(world, inside, "SELECT id FROM people")), "refusal")


def test_without_the_store_there_is_no_new_key_and_no_session(world):
    world.database.close()
    world.database.run_now = _broken

    with pytest.raises(GatewayError) as raised:
        world.enter("44")
    assert raised.value.code == "store-unavailable"


async def _admit(world, inside, text):
    from gateway.model import Statement

    return world.gate.admit(inside, Statement("s1.77", text))


def _broken(*_args, **_options):
    raise GatewayError("store-unavailable", "the gateway's store cannot be used")


# values


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("FR76 3000 6000 0112 3456 7890 189", "fr7630006000011234567890189"),
        ("185-05.78 006 084/36", "18505780060843\u200b6".replace("\u200b", "")),
        ("00042", "42"),
        ("Zoé", "zoé"),
        ("  ", ""),
        ("x" * 600, ""),
        ("x" * 5_000, ""),
    ],
)
def test_how_a_value_is_spelled(value, expected):
    assert spelled(value) == expected


@pytest.mark.parametrize(
    ("code", "value", "oid", "expected"),
    [
        (0, b"a@x.fr", 0, ["a@x.fr"]),
        (0, b'{a@x.fr,"b, c"}', 0, ["a@x.fr", "b, c"]),
        (0, b'{{"a\\"b",NULL},{c,d}}', 0, ['a"b', "NULL", "c", "d"]),
        (0, b"{" + b"x" * 200_000 + b",a@x.fr}", 0, ["x" * 200_000, "a@x.fr"]),
        (0, "zoé".encode("latin-1"), 0, ["zoé"]),
        (1, b"a@x.fr", 25, ["a@x.fr"]),
        (1, (70_000).to_bytes(4, "big"), 23, ["70000"]),
        (1, (70_000).to_bytes(8, "big"), 20, ["70000"]),
        (1, (7).to_bytes(2, "big"), 21, ["7"]),
        (1, b"anna", 25, ["anna"]),
        (1, b"anna", 0, [str(int.from_bytes(b"anna", "big")), "anna"]),
        (1, bytes(range(16)), 2950, ["00010203-0405-0607-0809-0a0b0c0d0e0f"]),
        (1, b"\0\0\0\1\0\0\0\0\0\0\0\x19\0\0\0\1\0\0\0\1\0\0\0\6a@x.fr", 1009, ["a@x.fr"]),
        (1, b"\0\0\0\1\0\0\0\0\0\0\0\x17\0\0\0\2\0\0\0\1\0\0\0\4\0\0\1\0\xff\xff\xff\xff", 0, ["256"]),
        (1, b"\xff\xfe\0", 0, []),
    ],
)
def test_what_a_bound_value_means(code, value, oid, expected):
    assert list(decoded(code, value, oid)) == expected


def test_values_that_cannot_be_cut_apart_do_not_stop_anything():
    from gateway.literals.values import subjects_of

    for raw in (b"", b"\0", b"\0\1\0\1\0\1\0\0\0\x09abc", b"\0\0\0\1\xff\xff\xff\xfe"):
        assert subjects_of(Said(subjects=(1, 2), bound=(Bound(raw, len(raw)),))) == []


def test_months():
    assert (month_begin("2026-12"), month_end("2026-12")) == (1796083200.0, 1798761600.0)
    assert month_begin("2026-11") <= NOW.timestamp() < month_end("2026-11")


def test_a_session_whose_keys_were_had_ready_waits_for_no_store(world, monkeypatch):
    asked = []

    def counted(function, *args, **kwargs):
        asked.append(function.__name__)
        return run_now(function, *args, **kwargs)

    run_now = world.database.run_now
    world.run(world.literals.seals.warm(("42", "7")))
    monkeypatch.setattr(world.database, "run_now", counted)
    record = world.ask(world.enter("42", "7"), LOOK)
    assert record["sealed"]
    assert asked == []
    world.enter("8")
    assert asked == ["obtain"] * 2


def test_near_the_end_of_a_month_the_keys_of_the_next_one_are_made_ready(world):
    seals = world.literals.seals
    world.run(seals.warm(("42",)))
    world.run(seals.warm_for_the_next_month(3600.0))
    assert seals.keyring.at_hand("2026-12") == []
    world.now = NOW.replace(day=30, hour=23, minute=30)
    world.run(seals.warm_for_the_next_month(3600.0))
    assert seals.keyring.at_hand("2026-12") == [("42",)]


def test_who_is_let_in_has_his_keys_ready_and_without_a_store_is_not_let_in(world):
    async def admit(session):
        return session

    class Somebody:
        grant = type("Given", (), {"customers": ("9",)})

    warmed = world.literals.warmed(admit)
    assert isinstance(world.run(warmed(Somebody())), Somebody)
    assert ("9",) in world.literals.seals.keyring.at_hand("2026-11")
    refusal = Refusal("grant-expired", "over")
    assert world.run(warmed(refusal)) is refusal
    Somebody.grant.customers = ("10",)
    world.database.run_now = lambda *_: (_ for _ in ()).throw(GatewayError("store-unavailable", "away"))
    found = world.run(warmed(Somebody()))
    assert isinstance(found, Refusal)
    assert (found.code, found.fatal) == ("store-unavailable", True)
