"""From counters to bytes by person: every guarantee of the counting, over random lives of pods."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub import wire
from neuralinverse_hub.traffic.counting import Count, Pod, Sum, count, from_json, to_json

HOUR = 500_000


def pod(uid: str, sent: int | None, person: str = "ada") -> Pod:
    return Pod(uid, person, "default", sent)


def after(*looks: tuple[int, list[Pod]]) -> tuple[Count, list[wire.VolumeRecord]]:
    """The count after these looks, of which each has its hour, and all records."""
    found: Count | None = None
    records = []
    for hour, pods in looks:
        found, more = count(found, pods, hour, "eastus")
        records += more
    assert found is not None
    return found, records


def test_what_was_sent_between_two_looks_is_counted_in_the_hour_of_the_later() -> None:
    now, records = after(
        (HOUR, [pod("a", 1000)]), (HOUR, [pod("a", 1500)]), (HOUR + 1, [pod("a", 1700)]), (HOUR + 1, [pod("a", 1701)])
    )
    (record,) = records
    assert (record.person, record.workspace, record.region, record.kind) == ("ada", "default", "eastus", "network")
    assert record.amount == 500 and record.at.timestamp() == HOUR * 3600
    assert now.sums == {"a": Sum("ada", "default", 201)}


def test_what_was_sent_before_the_first_look_counts_for_nobody() -> None:
    now, _ = after((HOUR, [pod("a", 10**9), pod("b", None)]), (HOUR, [pod("a", 10**9), pod("b", 10**9)]))
    assert now.sums == {}
    # From its first word on it is counted like the others.
    now, _ = count(now, [pod("b", 10**9 + 5)], HOUR, "")
    assert now.sums == {"b": Sum("ada", "default", 5)}


def test_a_pod_that_came_between_two_looks_is_counted_from_its_start() -> None:
    now, _ = after((HOUR, []), (HOUR, [pod("a", None)]), (HOUR, [pod("a", 700)]))
    assert now.sums == {"a": Sum("ada", "default", 700)}


def test_a_counter_that_begins_again_is_counted_from_there() -> None:
    now, _ = after((HOUR, [pod("a", 5000)]), (HOUR, [pod("a", 5600)]), (HOUR, [pod("a", 40)]), (HOUR, [pod("a", 50)]))
    assert now.sums == {"a": Sum("ada", "default", 650)}


def test_a_node_that_does_not_answer_loses_nothing() -> None:
    now, _ = after((HOUR, [pod("a", 100)]), (HOUR, [pod("a", None)]), (HOUR, [pod("a", None)]), (HOUR, [pod("a", 130)]))
    assert now.sums == {"a": Sum("ada", "default", 30)}


def test_what_a_pod_sent_while_it_waited_for_somebody_is_nobodys() -> None:
    now, records = after(
        (HOUR, []),
        (HOUR, [pod("a", 300, person="")]),
        (HOUR, [pod("a", 320, person="")]),
        (HOUR, [pod("a", 400, person="zoë@example.org")]),
        (HOUR + 1, [pod("b", 900, person="")]),
    )
    assert [(each.person, each.amount) for each in records] == [("zoë@example.org", 80)]
    assert now.sums == {}


def test_a_clock_that_was_set_back_opens_no_hour_again() -> None:
    now, records = after((HOUR, []), (HOUR + 1, [pod("a", 5)]), (HOUR, [pod("a", 9)]), (HOUR + 2, [pod("a", 9)]))
    assert [(each.at.timestamp() / 3600, each.amount) for each in records] == [(HOUR + 1, 9)]
    assert now.hour == HOUR + 2


@dataclass
class Life:
    """What really happens to a pod, told to the counting only by looks."""

    sent: int = 0
    counter: int = 0
    pending: int | None = 0
    """Sent and not seen yet; None: nobody knows how much of it was counted."""
    person: str = ""
    gone: bool = False


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.sampled_from(["", "ada", "bob"])),
        st.tuples(st.just("claim"), st.integers(0, 9)),
        st.tuples(st.just("go"), st.integers(0, 9)),
        st.tuples(st.just("send"), st.integers(0, 9), st.integers(0, 10**9)),
        st.tuples(st.just("again"), st.integers(0, 9)),
        st.tuples(st.just("look"), st.sets(st.integers(0, 9))),
        st.tuples(st.just("hour"), st.integers(-2, 3)),
        st.tuples(st.just("restart")),
    ),
    max_size=60,
)


@given(STEPS)
def test_every_byte_that_could_be_seen_counts_once_for_whom_it_was(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    lives: dict[str, Life] = {}
    now: Count | None = None
    hour = HOUR
    records: list[wire.VolumeRecord] = []
    expected: Counter[tuple[str, str]] = Counter()
    restarted = False

    for what, *details in steps:
        uid = f"pod{details[0]}" if details and isinstance(details[0], int) else ""
        life = lives.get(uid)
        if what == "come":
            lives[f"pod{len(lives)}"] = Life(person=details[0])
        elif what == "hour":
            hour += details[0]
        elif what == "restart" and now is not None:
            now = from_json(json.loads(json.dumps(to_json(now))))
        elif what == "look":
            silent = {f"pod{number}" for number in details[0]}
            there = {uid: each for uid, each in lives.items() if not each.gone}
            pods = [Pod(u, p.person, "w", None if u in silent else p.counter) for u, p in there.items()]
            first = now is None
            now, more = count(now, pods, hour, "r")
            records += more
            for name, each in there.items():
                if first:
                    each.pending = None if name in silent else 0
                elif name not in silent:
                    if each.person:
                        expected[(name, each.person)] += each.pending or 0
                    each.pending = 0
        elif life is None or life.gone:
            continue
        elif what == "claim":
            life.person = life.person or "eve"
        elif what == "go":
            life.gone = True
        elif what == "send":
            life.sent += details[1]
            life.counter += details[1]
            if life.pending is not None:
                life.pending += details[1]
        elif what == "again":
            restarted = restarted or life.counter > 0
            life.counter = 0

    counted: Counter[tuple[str, str]] = Counter()
    for record in records:
        counted[(record.record_id.rpartition(":")[2], record.person)] += record.amount
    for name, total in (now.sums if now else {}).items():
        counted[(name, total.person)] += total.amount
    assert all(each.amount > 0 for each in records)
    assert len({each.record_id for each in records}) == len(records)
    for (name, _person), amount in counted.items():
        assert amount <= lives[name].sent
    if not restarted:
        assert +counted == +expected


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.integers(0, 2**60))), st.text(), st.text())
def test_the_count_survives_being_written_down(seen: dict[str, int | None], person: str, workspace: str) -> None:
    kept = Count(HOUR, seen, {uid: Sum(person, workspace, 7) for uid in seen})
    assert from_json(json.loads(json.dumps(to_json(kept)))) == kept


def test_records_of_an_hour_have_the_same_keys_whoever_counts_it() -> None:
    first, _ = after((HOUR, []), (HOUR, [pod("a", 100)]))
    _, once = count(first, [pod("a", 100)], HOUR + 1, "eastus")
    _, again = count(replace(first), [], HOUR + 1, "eastus")
    assert once == again and once[0].record_id == f"network:eastus:{HOUR}:a"
