"""Fair turns: the guarantees in the docstring of `turns`, as properties."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub.gateway.turns import BATCH_EVERY, LEAST_WEIGHT, Aimd, FairQueue, Ticket, cost, weights_from

PEOPLE = ("ada", "bob", "cyd")
COSTS = st.integers(1, 1000).map(float)


@st.composite
def actions(draw: st.DrawFn) -> list[tuple[str, str, float, bool]]:
    kinds = st.sampled_from(["add", "add", "next", "withdraw", "put_back", "settle"])
    return draw(st.lists(st.tuples(kinds, st.sampled_from(PEOPLE), COSTS, st.booleans()), min_size=1, max_size=120))


def served_before(queue: FairQueue, person: str, amount: float) -> None:
    ticket = Ticket(person, amount)
    queue.add(ticket)
    assert queue.next() is ticket
    queue.settle(ticket, amount)


@given(actions())
def test_a_turn_is_given_whenever_someone_waits_and_every_ticket_goes_once(
    steps: list[tuple[str, str, float, bool]],
) -> None:
    queue = FairQueue()
    waiting: list[Ticket] = []
    gone: list[Ticket] = []
    for kind, person, amount, interactive in steps:
        if kind == "add":
            waiting.append(Ticket(person, amount, interactive))
            queue.add(waiting[-1])
        elif kind == "next":
            ticket = queue.next()
            assert (ticket is None) == (not waiting)
            if ticket is not None:
                waiting.remove(ticket)
                gone.append(ticket)
        elif kind == "withdraw" and waiting:
            assert queue.withdraw(waiting[0])
            assert not queue.withdraw(waiting.pop(0))
        elif kind == "put_back" and gone:
            queue.put_back(gone[-1])
            waiting.append(gone.pop())
        elif kind == "settle" and gone:
            queue.settle(gone.pop(), amount)
        assert len(queue) == len(waiting)
        assert queue.people() == len({ticket.person for ticket in waiting})
        for ticket in waiting:
            assert 0 <= queue.before(ticket) < 9 * len(waiting)


@given(
    st.lists(st.tuples(st.sampled_from(PEOPLE), COSTS), max_size=30),
    st.lists(COSTS, min_size=20, max_size=100),
)
def test_two_people_who_both_wait_are_served_alike(history: list[tuple[str, float]], backlog: list[float]) -> None:
    queue = FairQueue()
    for person, amount in history:
        served_before(queue, person, amount)
    served = {"ada": 0.0, "bob": 0.0}
    for person, amounts in (("ada", backlog[::2]), ("bob", backlog[1::2])):
        for amount in amounts:
            queue.add(Ticket(person, amount))
    start = queue._counters["ada"] - queue._counters["bob"]
    most = max([*backlog, *(amount for _, amount in history)])
    assert abs(start) <= most
    while all(queue.waiting_of(person) for person in served):
        ticket = queue.next()
        assert ticket is not None
        served[ticket.person] += ticket.cost
        assert abs(start + served["ada"] - served["bob"]) <= most


WEIGHTS = st.floats(LEAST_WEIGHT, 1)


@given(WEIGHTS, WEIGHTS, st.lists(COSTS, min_size=20, max_size=100))
def test_two_people_who_both_wait_are_served_by_their_weights(ada: float, bob: float, backlog: list[float]) -> None:
    weights = {"ada": ada, "bob": bob}
    queue = FairQueue(weights)
    for person, amounts in (("ada", backlog[::2]), ("bob", backlog[1::2])):
        for amount in amounts:
            queue.add(Ticket(person, amount))
    served = {"ada": 0.0, "bob": 0.0}
    while all(queue.waiting_of(person) for person in served):
        ticket = queue.next()
        assert ticket is not None
        served[ticket.person] += ticket.cost / weights[ticket.person]
        assert abs(served["ada"] - served["bob"]) <= max(backlog) / min(ada, bob) * (1 + 1e-9)


@given(WEIGHTS, st.lists(COSTS, min_size=1, max_size=50), COSTS)
def test_alone_a_lowered_weight_costs_nothing(weight: float, busy: list[float], late: float) -> None:
    orders = []
    for weights in ({}, {"ada": weight}):
        queue = FairQueue(weights)
        for amount in busy:
            queue.add(Ticket("ada", amount))
        alone = [queue.next() for _ in busy]
        assert [ticket and ticket.charged for ticket in alone] == busy
        for person in ("bob", "ada"):
            queue.add(Ticket(person, late))
        first = queue.next()
        assert first is not None
        orders.append(first.person)
    assert orders[0] == orders[1]


@given(WEIGHTS, st.lists(COSTS, min_size=1, max_size=30))
def test_however_low_a_weight_is_its_turn_comes(weight: float, costs: list[float]) -> None:
    queue = FairQueue({"ada": weight})
    mine = [Ticket("ada", amount) for amount in costs]
    for ticket in mine:
        queue.add(ticket)
    most = max(costs)
    others = 0.0
    while queue.waiting_of("ada"):
        queue.add(Ticket("bob", most)) if not queue.waiting_of("bob") else None
        ticket = queue.next()
        assert ticket is not None
        others += ticket.cost if ticket.person == "bob" else 0.0
    assert others <= (sum(costs) + most) / weight + most


@given(
    st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3))
)
def test_what_is_no_weight_counts_as_one(given: dict[str, object]) -> None:
    weights, wrong = weights_from(given)
    assert all(LEAST_WEIGHT <= weight < 1 for weight in weights.values())
    for person, weight in given.items():
        right = isinstance(weight, int | float) and not isinstance(weight, bool) and 0 < weight <= 1
        assert (person in wrong) != right
        assert (person in weights) == (right and weight != 1)


@given(
    st.lists(COSTS, min_size=1, max_size=20),
    st.lists(st.tuples(st.sampled_from(PEOPLE[1:]), COSTS), min_size=50, max_size=200),
)
def test_nobody_starves_however_much_others_keep_asking(own: list[float], flood: list[tuple[str, float]]) -> None:
    queue = FairQueue()
    for amount in own:
        served_before(queue, "ada", amount)
    arrivals = iter(flood * 200)
    for person, amount in flood:
        queue.add(Ticket(person, amount))
    mine = Ticket("ada", own[0])
    queue.add(mine)
    most = max([*own, *(amount for _, amount in flood)])
    others = 0.0
    while (ticket := queue.next()) is not mine:
        assert ticket is not None
        others += ticket.cost
        assert others <= 2 * 3 * most
        queue.add(Ticket(*next(arrivals)))


@given(st.lists(COSTS, min_size=1, max_size=50), COSTS)
def test_nobody_saves_up_turns_by_staying_away(busy: list[float], late: float) -> None:
    queue = FairQueue()
    for amount in busy:
        served_before(queue, "ada", amount)
    queue.add(Ticket("ada", 1.0))
    queue.add(Ticket("bob", late))
    assert queue._counters["bob"] == queue._counters["ada"] == sum(busy)


@given(st.lists(COSTS, min_size=1, max_size=50), st.floats(0, 1))
def test_estimates_that_were_far_too_high_put_nobody_back(busy: list[float], really: float) -> None:
    queue = FairQueue()
    flood = [Ticket("bob", amount) for amount in busy]
    for ticket in flood:
        queue.add(ticket)
        queue.next()
    queue.add(Ticket("bob", 1.0))
    ada = Ticket("ada", 1.0)
    queue.add(ada)
    for ticket in flood:
        queue.settle(ticket, ticket.cost * really)
    queue.add(Ticket("bob", 1.0))
    assert ada in (queue.next(), queue.next())


def test_batch_work_comes_later_and_still_comes() -> None:
    queue = FairQueue()
    batch = Ticket("ada", 1.0, interactive=False)
    queue.add(batch)
    for _ in range(100):
        queue.add(Ticket("bob", 1.0))
    order = [queue.next() for _ in range(20)]
    assert order.index(batch) == BATCH_EVERY - 1


def test_a_turn_that_came_to_nothing_costs_nothing_and_keeps_its_place() -> None:
    queue = FairQueue()
    first, second = Ticket("ada", 10.0), Ticket("ada", 20.0)
    queue.add(first)
    queue.add(second)
    assert queue.next() is first
    queue.put_back(first)
    assert queue._counters["ada"] == 0.0
    assert queue.before(first) == 0 and queue.before(second) == 1
    assert queue.next() is first


def test_an_answer_longer_than_thought_counts_as_long_as_it_was() -> None:
    queue = FairQueue()
    ticket = Ticket("ada", cost(10, 10))
    queue.add(ticket)
    queue.next()
    queue.settle(ticket, cost(10, 1000))
    assert queue._counters["ada"] == 10 + 4 * 1000


def test_someone_with_very_many_waiting_falls_behind_and_is_never_refused() -> None:
    queue = FairQueue()
    for _ in range(1000):
        queue.add(Ticket("flood", 1.0))
        queue.add(Ticket("ada", 1.0)) if queue.waiting_of("ada") < 10 else None
    served = Counter(ticket.person for ticket in (queue.next() for _ in range(14)) if ticket)
    assert served["ada"] > served["flood"] > 0
    assert len(queue) == 1010 - 14


def test_the_limit_settles_at_what_the_upstream_takes_and_keeps_it_busy() -> None:
    rng = random.Random(7)
    capacity, limit, now = 20, Aimd(start=16), 0.0
    flights: list[float] = []
    busy = total = refusals = 0.0
    while now < 400:
        now = round(now + 0.01, 2)
        for end in [end for end in flights if end <= now]:
            flights.remove(end)
            limit.answered(len(flights))
        while limit.takes(len(flights)):
            if len(flights) >= capacity:
                limit.refused(sent_at=now, now=now, others=len(flights))
                refusals += 1
                break
            flights.append(now + rng.uniform(0.5, 1.5))
        if now > 20:
            busy += len(flights)
            total += capacity
    assert busy / total >= 0.9
    assert refusals < 60


def test_one_volley_of_refusals_is_one_cut() -> None:
    limit = Aimd(start=16)
    for others in range(15, 9, -1):
        limit.refused(sent_at=1.0, now=2.0, others=others)
    assert 9 <= limit.limit <= 10
    limit.refused(sent_at=3.0, now=4.0, others=8)
    assert 7 <= limit.limit <= 8


def test_the_limit_never_falls_below_one() -> None:
    limit = Aimd(start=4)
    for second in range(50):
        limit.refused(sent_at=second, now=second, others=0)
    assert limit.takes(0) and not limit.takes(1)


def test_a_limit_is_not_raised_when_headers_say_that_little_is_left() -> None:
    limit = Aimd(start=16)
    for remaining in (1, 5, 14):
        limit.answered(15, remaining=remaining)
    assert limit.limit == 16
    for remaining in (None, 20, 1000):
        limit.answered(20, remaining=remaining)
    assert limit.limit == 19
