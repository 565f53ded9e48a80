"""Regions: how long a move takes, measured; and what starts, a lost region and the bill look like up to 100,000 people,
simulated from measured times and the assumptions below.

The move is between two whole regions on networks of their own, against stopping and starting the same workspace where it
is, in turns. The restore is a start whose files are gone, as on a new node, far from the git host, without and with a mirror
of it in the region. Usage: ``python tests/bench/bench_regions.py [--files 10000] [--rounds 3] [--only move|restore|simulation]``.
"""

from __future__ import annotations

import argparse
import heapq
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.figures import finish, median, percentile, table  # noqa: E402
from tests.bench.sync_content import make_files  # noqa: E402
from tests.neuralinverse_hub.regions.rig import Person, Region, world  # noqa: E402
from tests.neuralinverse_hub.regions.test_mirrors import ask_mirror  # noqa: E402
from tests.neuralinverse_hub.regions.wires import why_not  # noqa: E402
from tests.one_machine import eventually  # noqa: E402

ONE_WAY_S = 0.04
"""Between the measured regions, and between each of them and the git host: about an ocean."""


@dataclass(frozen=True)
class Assumptions:
    """What the simulation takes for granted. Times in seconds, prices in USD."""

    at_work: float = 0.25
    """Share of a region's people who have a workspace running in its busiest hour."""
    starts_per_hour: float = 0.4
    """Starts in the busiest hour, per person at work in it."""
    warm_start: float = 0.68
    """Measured (``bench_kubernetes``): request → VS Code's page, from the pool."""
    cold_start: float = 4.7
    """Measured: the same with a new pod."""
    round_trips: int = 6
    """Round trips one after the other between the click and the page, beyond the measured time."""
    refill: float = 8.0
    """Until a taken warm pod is replaced by one that has loaded everything."""
    cold_at_once: int = 64
    """Starts under way at a time in one hub (z2jh's ``concurrentSpawnLimit``)."""
    restore: float = 2.0
    """Of a workspace's files after the loss of its region, behind the start."""
    notice: tuple[float, float] = (5.0, 15.0)
    """Until the load balancer sends people elsewhere: Traefik's bound of docs/regions.md."""
    reopen: float = 45.0
    """Mean time until a person has noticed and opens the address again."""
    spare: float = 0.2
    """Share of the busiest hour's places that stand free, in each region."""
    node_wait: float = 150.0
    """Until a new machine takes workspaces when the free places are used up."""
    node_places: int = 8
    nodes_at_once: int = 50
    machine_hour: float = 0.192
    """Of one workspace (``economics/prices.json``: medium)."""
    hours_per_month: float = 120.0
    """Hours a person's workspace runs in a month."""
    region_month: float = 1500.0
    """Of what a region has however few are in it: control plane, three small machines, database, git mirror, addresses."""


# Share of all people, and round trips in ms to each region: typical medians between such cloud regions.
PLACES = {
    "us": (0.35, {"us": 30, "europe": 95, "singapore": 215, "japan": 150}),
    "europe": (0.33, {"us": 100, "europe": 25, "singapore": 165, "japan": 235}),
    "singapore": (0.20, {"us": 220, "europe": 170, "singapore": 35, "japan": 75}),
    "japan": (0.12, {"us": 155, "europe": 230, "singapore": 75, "japan": 15}),
}
LAYOUTS = (("us",), ("us", "europe"), ("us", "europe", "singapore"), ("us", "europe", "singapore", "japan"))


@dataclass(frozen=True)
class Outcome:
    """One layout with one number of people."""

    starts: list[float]
    """Seconds from the click to the page, in everybody's busiest hour."""
    failover: list[float]
    """Seconds from the loss of the largest region until each of its people works again; empty: there is no other."""
    month_usd: float
    """Per person."""


def simulate(regions: tuple[str, ...], people: int, given: Assumptions, seed: int) -> Outcome:
    """One layout, in the busiest hour of every region. Deterministic for a seed."""
    rng = random.Random(seed)
    near = {place: min(regions, key=lambda name: rtts[name]) for place, (_, rtts) in PLACES.items()}
    living = {name: sum(PLACES[place][0] for place in near if near[place] == name) * people for name in regions}
    at_work = {name: count * given.at_work for name, count in living.items()}
    pools = {name: pool_size(count * given.starts_per_hour / 3600, given) for name, count in at_work.items()}
    starts = []
    for place, (share, rtts) in PLACES.items():
        name = near[place]
        rate = at_work[name] * given.starts_per_hour / 3600
        mine = share * people * given.at_work * given.starts_per_hour
        distance = given.round_trips * rtts[name] / 1000
        starts += [distance + took for took in pool_hour(rate, pools[name], given, rng, max(1, min(int(mine), 4000)))]
    largest = max(living, key=lambda name: living[name])
    failover = lose(largest, regions, near, people, at_work, pools, given, rng)
    machines = sum(given.spare * at_work[name] + pools[name] for name in regions) * 730
    used = people * given.hours_per_month
    month = (used + machines) * given.machine_hour + len(regions) * given.region_month
    return Outcome(starts, failover, month / people)


def pool_size(rate: float, given: Assumptions) -> int:
    """Warm pods so that about one start in a thousand finds none: mean in refill, and 3.1 standard deviations."""
    mean = rate * given.refill
    return max(2, round(mean + 3.1 * mean**0.5 + 0.5))


def pool_hour(rate: float, size: int, given: Assumptions, rng: random.Random, wanted: int) -> list[float]:
    """Start times of ``wanted`` starts that come at random at ``rate`` per second to a pool of ``size``."""
    now, back, found = 0.0, [0.0] * size, []
    for _ in range(wanted):
        now += rng.expovariate(rate)
        if back[0] <= now:
            heapq.heapreplace(back, now + given.refill)
            found.append(given.warm_start)
        else:
            found.append(given.cold_start)
    return found


def lose(
    lost: str,
    regions: tuple[str, ...],
    near: dict[str, str],
    people: int,
    at_work: dict[str, float],
    pools: dict[str, int],
    given: Assumptions,
    rng: random.Random,
) -> list[float]:
    """Everybody of the lost region opens the address again and is served by the nearest of the others."""
    left = [name for name in regions if name != lost]
    if not left:
        return []
    arrivals: dict[str, list[tuple[float, float]]] = {name: [] for name in left}
    for place, (share, rtts) in PLACES.items():
        if near[place] == lost:
            name = min(left, key=lambda other: rtts[other])
            distance = given.round_trips * rtts[name] / 1000
            for _ in range(round(share * people * given.at_work)):
                came = max(rng.uniform(*given.notice), rng.expovariate(1 / given.reopen))
                arrivals[name].append((came, distance))
    found = []
    for name, coming in arrivals.items():
        places = int(given.spare * at_work[name]) + pools[name]
        free_from = [0.0] * places
        missing, batch = len(coming) - places, 0
        while missing > 0:
            batch += 1
            free_from += [batch * given.node_wait] * (given.nodes_at_once * given.node_places)
            missing -= given.nodes_at_once * given.node_places
        busy = [0.0] * given.cold_at_once
        warm = pools[name]
        for (came, distance), free in zip(sorted(coming), free_from, strict=False):
            ready = max(came, free)
            if warm:
                warm, done = warm - 1, ready + given.warm_start
            else:
                done = max(ready, busy[0]) + given.cold_start
                heapq.heapreplace(busy, done)
            found.append(done + distance + given.restore)
    return found


def simulation(figures: dict[str, float]) -> None:
    given, rows = Assumptions(), []
    for people in (100, 1_000, 10_000, 100_000):
        for regions in LAYOUTS:
            outcome = simulate(regions, people, given, seed=1)
            lost = outcome.failover
            rows.append(
                (
                    f"{people:,}",
                    len(regions),
                    f"{median(outcome.starts):.2f}",
                    f"{percentile(outcome.starts, 99):.2f}",
                    f"{median(lost):.0f}" if lost else "never",
                    f"{percentile(lost, 99):.0f}" if lost else "never",
                    f"{outcome.month_usd:.2f}",
                )
            )
            if people == 100_000:
                figures[f"start_p50_{len(regions)}_regions_s"] = median(outcome.starts)
                figures[f"usd_month_{len(regions)}_regions"] = outcome.month_usd
                if lost:
                    figures[f"failover_p99_{len(regions)}_regions_s"] = percentile(lost, 99)
    head = ("people", "regions", "start p50", "p99", "lost region p50", "p99", "USD/person/month")
    print(table(head, rows))


def move(files: int, rounds: int, figures: dict[str, float]) -> None:
    with tempfile.TemporaryDirectory() as temporary, world(Path(temporary), ("us", "europe")) as two:
        for one, other in (("us", "git"), ("europe", "git"), ("us", "europe")):
            two.wires.delay(one, other, ONE_WAY_S)
        print(f"two regions are up; writing {files:,} files", file=sys.stderr)
        here, there = two["us"], two["europe"]
        ada = two.person("ada", "us", "europe")
        ada.start(here)
        make_files(here.folder("ada"), files)
        ada.await_saved(here, time.time())
        moves, restarts = [], []
        for _ in range(rounds):
            restarts.append(until_ready(ada, here, partial(ada.stop, here)))
            moves.append(until_ready(ada, there, partial(ada.move, here, there)))
            ada.await_protected(there)
            here, there = there, here
    print(
        table(
            ["", "median s", "max s"],
            [("move", median(moves), max(moves)), ("restart", median(restarts), max(restarts))],
        )
    )
    figures |= {f"move_{files}_s": median(moves), f"restart_{files}_s": median(restarts)}
    figures["move_to_restart"] = median(moves) / median(restarts)


def restore(files: int, rounds: int, figures: dict[str, float]) -> None:
    rows = []
    for mirrors in (False, True):
        with tempfile.TemporaryDirectory() as temporary, world(Path(temporary), ("europe",), mirrors=mirrors) as one:
            one.wires.delay("europe", "git", ONE_WAY_S)
            europe = one["europe"]
            ada = one.person("ada", "europe")
            ada.start(europe)
            make_files(europe.folder("ada"), files)
            ada.await_saved(europe, time.time())
            took = []
            for _ in range(rounds):
                ada.stop(europe)
                if mirrors:
                    # What its minute in the background would have done by the next morning.
                    eventually("the mirror having it", partial(ask_mirror, europe, ada), 120)
                shutil.rmtree(europe.home("ada"))
                took.append(until_ready(ada, europe, lambda: None))
                ada.await_protected(europe)
        name = "with a mirror" if mirrors else "without a mirror"
        rows.append((f"restore {name}", median(took), max(took)))
        figures[f"restore_{files}_{'mirror' if mirrors else 'far'}_s"] = median(took)
    print(table(["", "median s", "max s"], rows))


def until_ready(person: Person, target: Region, leave: Callable[[], object]) -> float:
    """Seconds from the click until every file is in place in ``target``."""
    before = target.ready(person.name)
    began = time.perf_counter()
    leave()
    person.start(target, wait=False)
    eventually("the files in place", lambda: target.ready(person.name) > before, 120)
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("move", "restore", "simulation"))
    chosen = parser.parse_args()
    figures: dict[str, float] = {}
    targets: dict[str, tuple[str, float]] = {}
    if chosen.only in (None, "simulation"):
        simulation(figures)
    if chosen.only != "simulation":
        if reason := why_not():
            print(f"The move cannot be measured: {reason}", file=sys.stderr)
            return 1
        if chosen.only != "restore":
            move(chosen.files, chosen.rounds, figures)
            targets[f"move_{chosen.files}_s"] = ("<=", 10.0)
        if chosen.only != "move":
            restore(chosen.files, chosen.rounds, figures)
    return 0 if finish("regions", figures, targets) else 1


if __name__ == "__main__":
    sys.exit(main())
