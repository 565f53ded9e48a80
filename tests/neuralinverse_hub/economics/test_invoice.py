"""An invoice's lines come to the right components, exactly, and a file that is none says where."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub.cli import main
from neuralinverse_hub.economics.errors import BadFile
from neuralinverse_hub.economics.invoice import drift, read
from neuralinverse_hub.economics.ledger import Ledger
from neuralinverse_hub.economics.money import to_pico
from tests.neuralinverse_hub.economics.records import NOON, compute, usage

PAYG = """SubscriptionName,Date,MeterCategory,MeterName,Cost,BillingCurrency
lab,10/01/2026,Virtual Machines,D4s v5,4.61,USD
lab,10/02/2026,Foundry Models,"Llama 4, input",0.0123456789,USD
lab,10/02/2026,Storage,E10 LRS Disk,0.32,USD
lab,10/02/2026,Bandwidth,Standard Data Transfer Out,0.09,USD
lab,10/03/2026,Virtual Machines,D4s v5,-1.00,USD
lab,10/03/2026,Key Vault,Operations,0.03,USD
"""
CUSTOMER = "\ufeffdate,serviceFamily,meterCategory,costInBillingCurrency,billingCurrency,costInUsd\n2026-10-01,AI + Machine Learning,Azure OpenAI,0.92,EUR,1.00\n"


def test_each_line_belongs_to_a_component() -> None:
    found = {each.component: each.billed for each in drift(read(PAYG.splitlines(True)), {})}
    wanted = {"ai": "0.0123456789", "machine": "3.61", "storage": "0.32", "network": "0.09", "other": "0.03"}
    assert found == {name: to_pico(Decimal(usd)) for name, usd in wanted.items()}


def test_usd_is_taken_where_another_currency_is_billed() -> None:
    (line,) = read(CUSTOMER.splitlines(True))
    assert (line.component, line.pico) == ("ai", 10**12)


@given(st.lists(st.decimals(-(10**6), 10**6, places=8), max_size=20))
def test_sums_are_those_of_the_lines(amounts: list[Decimal]) -> None:
    text = ["date,meterCategory,costInUsd\n", *(f"2026-10-01,Storage,{amount:f}\n" for amount in amounts)]
    found = drift(read(text), {"storage": 5})
    assert sum(each.billed for each in found) == to_pico(sum(amounts, Decimal(0)))
    assert sum(each.difference for each in found) == to_pico(sum(amounts, Decimal(0))) - 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "none of the columns date"),
        ("date,cost\n2026-10-01,1\n", "what was billed"),
        ("date,meterCategory,cost\n2026-10-01,Storage\n", "line 2 has 2 cells"),
        ("date,meterCategory,cost\nsoon,Storage,1\n", "line 2: 'soon' is no day"),
        ("date,meterCategory,cost\n2026-10-01,Storage,one\n", "line 2: 'one' is not an amount"),
        ("date,meterCategory,cost\n2026-10-01,Storage,NaN\n", "not an amount"),
        ("date,meterCategory,cost,currency\n2026-10-01,Storage,1,EUR\n", "is in EUR"),
        ('date,meterCategory,cost\n2026-10-01,"Storage,1\n', "line 2, is no CSV"),
    ],
)
def test_a_file_that_is_no_invoice_says_where(text: str, words: str) -> None:
    with pytest.raises(BadFile, match=words):
        list(read(text.splitlines(True)))


def test_the_command_shows_the_drift(
    ledger: Ledger, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.add_compute([compute(ended=NOON + timedelta(hours=10))])
    ledger.add_usage([usage(1, "0.01")])
    file = tmp_path / "invoice.csv"
    file.write_text(PAYG)
    asked = ["economics", "--ledger", url, "invoice", str(file), "--month", "2026-10"]
    assert main([*asked, "--json"]) == 0
    found = {each["component"]: each for each in json.loads(capsys.readouterr().out)["components"]}
    assert found["machine"]["billed_usd"] == "3.61" and found["machine"]["reckoned_usd"] == "1.92"
    assert found["ai"]["difference_usd"] == "0.0023456789"
    assert main(asked) == 0
    assert "machine" in capsys.readouterr().out
    # Another month's invoice is no drift but a mistake.
    assert main([*asked[:-1], "2026-09"]) == 1
    assert "no line of 2026-09" in capsys.readouterr().err
    file.write_bytes(b"date,meterCategory,cost\n\xff\xfe,x,1\n")
    assert main(asked) == 1
    assert "is no CSV" in capsys.readouterr().err
