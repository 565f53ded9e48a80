"""A month of a small company: two dozen people, their days, their models, and one program that went round in circles."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from neuralinverse_hub import wire
from tests.neuralinverse_hub.economics.records import compute, usage

__all__ = ["a_month"]

PEOPLE = (
    "ada", "alan", "barbara", "claude", "dennis", "donald", "edsger", "fran", "grace", "guido", "hedy", "james", "joan",
    "john", "katherine", "ken", "leslie", "linus", "margaret", "niklaus", "radia", "sophie", "tim", "vint",
)  # fmt: skip
MODELS = {
    "coding": ("llama-4", "0.0006"),
    "reasoning": ("deepseek-r1", "0.0041"),
    "general": ("mistral-large", "0.0011"),
}


def a_month(
    begin: datetime, days: int, seed: int = 7
) -> tuple[list[wire.UsageRecord], list[wire.ComputeRecord], list[wire.VolumeRecord]]:
    """Records from ``begin``, a midnight, on."""
    chance = random.Random(seed)
    used: list[wire.UsageRecord] = []
    ran: list[wire.ComputeRecord] = []
    held: list[wire.VolumeRecord] = []
    for day in range(days):
        midnight = begin + timedelta(days=day)
        weekend = midnight.weekday() >= 5
        for person in PEOPLE:
            if chance.random() < (0.85 if weekend else 0.12):
                continue
            size = ("small", "medium", "medium", "large")[PEOPLE.index(person) % 4]
            region = ("eastus", "westeurope")[PEOPLE.index(person) % 2]
            began = midnight + timedelta(
                hours=chance.gauss(14 if region == "eastus" else 8, 1), minutes=chance.random() * 60
            )
            ended = began + timedelta(hours=max(1.0, chance.gauss(7, 1.5)))
            ran.append(compute(began, ended, person=person, size=size, region=region))
            held.append(
                wire.VolumeRecord(f"s-{person}-{day}", began, "storage", person, "default", region, 24 * 8 * 10**9)
            )
            held.append(wire.VolumeRecord(f"n-{person}-{day}", began, "network", person, "default", region, 6 * 10**8))
            # Some use it all day, and some hardly.
            eager = 1.2 ** (PEOPLE.index(person) - 14) * chance.lognormvariate(0, 0.5)
            at = began
            while (at := at + timedelta(minutes=chance.expovariate(eager / 22) + 0.3)) < ended:
                task = chance.choices(list(MODELS), (6, 2, 3))[0]
                model, usd = MODELS[task]
                weight = Decimal(round(chance.lognormvariate(0.8, 0.7), 3))
                used.append(
                    usage(
                        len(used),
                        str(Decimal(usd) * weight),
                        request_id=f"{seed}-{len(used)}",
                        at=at,
                        person=person,
                        task=task,
                        model=model,
                        input_tokens=int(1800 * weight),
                        output_tokens=int(350 * weight),
                    )
                )
    for number in range(420):
        at = begin + timedelta(days=min(8, days - 1), hours=15, seconds=8.2 * number + chance.random())
        used.append(
            usage(
                0,
                "0.0312",
                request_id=f"{seed}-loop-{number}",
                at=at,
                person="leslie",
                task="reasoning",
                model="deepseek-r1",
                input_tokens=18_000 + chance.randrange(40),
                output_tokens=900,
                client="loop-agent/1.0",
            )
        )
    return used, ran, held


if __name__ == "__main__":
    found = a_month(datetime(2026, 10, 1, tzinfo=UTC), 31)
    print([len(each) for each in found])
