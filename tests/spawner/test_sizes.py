from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawner.sizes import DEFAULT_SIZES, BadSize, UnknownSize, find, parse_sizes


def test_the_default_sizes_have_whole_cpus_and_a_price() -> None:
    sizes = parse_sizes(DEFAULT_SIZES)
    assert [(s.name, s.cpu, s.gib) for s in sizes.values()] == [("small", 2, 4), ("medium", 4, 8), ("large", 8, 16)]
    assert all(size.usd_per_hour and size.usd_per_hour > 0 for size in sizes.values())
    assert sizes["small"].words() == "2 CPUs, 4 GiB"
    assert sizes["small"].price() == "$0.48 per hour"


def test_money_is_exact_and_no_price_is_not_free() -> None:
    sizes = parse_sizes(
        {
            "a": {"cpu": 1, "memory": "1G", "usd_per_hour": 0.1},
            "b": {"cpu": 1, "memory": "1G"},
            "c": {"cpu": 1, "memory": "1G", "usd_per_hour": "0.0425"},
        }
    )
    assert sizes["a"].usd_per_hour == Decimal("0.1")
    assert (sizes["b"].usd_per_hour, sizes["b"].price()) == (None, "")
    assert sizes["c"].price() == "$0.0425 per hour"


def test_a_gpu_is_one_more_key_and_other_resources_go_by_their_name() -> None:
    sizes = parse_sizes(
        {
            "gpu": {"cpu": 8, "memory": "32Gi", "gpu": 1},
            "amd": {"cpu": 8, "memory": "32GiB", "gpu": 2, "gpu_resource": "amd.com/gpu"},
            "fpga": {"cpu": 1, "memory": "512M", "extra_resources": {"example.org/fpga": 1}},
        }
    )
    assert sizes["gpu"].resources == {"nvidia.com/gpu": "1"}
    assert sizes["amd"].resources == {"amd.com/gpu": "2"}
    assert sizes["gpu"].words() == "8 CPUs, 32 GiB, 1 GPU"
    assert sizes["fpga"].words() == "1 CPU, 0.5 GiB, 1 example.org/fpga"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"Big!": {"cpu": 1, "memory": "1G"}}, "size 'Big!'"),
        ({"": {"cpu": 1, "memory": "1G"}}, "size ''"),
        ({"a": {"cpu": 0, "memory": "1G"}}, "cpu is 0; write a number above 0"),
        ({"a": {"cpu": "two", "memory": "1G"}}, "cpu is 'two'; write a number"),
        ({"a": {"cpu": float("nan"), "memory": "1G"}}, "cpu is nan"),
        ({"a": {"cpu": True, "memory": "1G"}}, "cpu is True"),
        ({"a": {"memory": "1G"}}, "cpu is None"),
        ({"a": {"cpu": 1}}, "memory is None; write for example '4G'"),
        ({"a": {"cpu": 1, "memory": "lots"}}, "memory is 'lots'"),
        ({"a": {"cpu": 1, "memory": 4}}, "memory is 4;"),
        ({"a": {"cpu": 1, "memory": "1G", "usd_per_hour": "-1"}}, "usd_per_hour is -1"),
        ({"a": {"cpu": 1, "memory": "1G", "gpu": "one"}}, "gpu is 'one'"),
        ({"a": {"cpu": 1, "memory": "1G", "memmory": "1G"}}, "has 'memmory'; known: cpu, memory"),
        ({"a": 2}, "write a dict like"),
    ],
)
def test_what_is_no_size_is_refused_with_its_value(written: dict[str, Any], says: str) -> None:
    with pytest.raises(BadSize) as refused:
        parse_sizes(written)
    assert says in str(refused.value)


@given(st.one_of(st.none(), st.text(), st.integers(), st.lists(st.text()), st.dictionaries(st.text(), st.text())))
def test_an_unknown_size_is_refused_whatever_was_sent(name: object) -> None:
    sizes = parse_sizes(DEFAULT_SIZES)
    if name in ("small", "medium", "large"):
        return
    with pytest.raises(UnknownSize) as refused:
        find(sizes, name)
    assert "choose one of: small, medium, large" in refused.value.jupyterhub_message
    assert len(str(refused.value)) < 400
