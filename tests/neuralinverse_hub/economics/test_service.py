"""The economics service as the hub runs it: what it takes, who may look, and what nobody gets to see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from neuralinverse_hub import wire
from neuralinverse_hub.economics.book import Book, PriceBook
from neuralinverse_hub.economics.desk import Desk
from neuralinverse_hub.economics.handlers import routes
from tests.neuralinverse_hub.economics.real_hub import ACCESS, RECORDER, TESTER, RealHub, bearer, serving
from tests.neuralinverse_hub.economics.records import NOON, compute, usage
from tests.one_machine import eventually

pytestmark = pytest.mark.hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    with serving(tmp_path_factory.mktemp("economics-hub")) as hub:
        yield hub


@pytest.fixture(scope="module")
def admin(hub: RealHub) -> str:
    return hub.token("root", [ACCESS, "admin-ui"])


def test_records_are_counted_once_however_often_they_come(hub: RealHub, admin: str) -> None:
    records = [usage(number, "0.0025") for number in range(40)]
    ran = [compute(), compute(ended=NOON + timedelta(hours=1))]
    assert hub.hand_in(wire.COMPUTE_RECORDS, ran).json() == {"new": 1, "known": 1, "refused": []}
    first = hub.hand_in(wire.USAGE_RECORDS, records).json()
    assert (first["new"], first["known"], first["weights"]) == (40, 0, {})
    assert hub.hand_in(wire.USAGE_RECORDS, records).json()["known"] == 40
    total = hub.report("2026-10", admin)["total"]
    assert (total["revenue_usd"], total["ai_usd"], total["machine_usd"]) == ("0.96", "0.1", "0.192")


def test_a_line_that_is_no_record_is_named_and_holds_up_nobody(hub: RealHub) -> None:
    lines = ["not json", "[]", '{"request_id": 1}', json.dumps({"at": "yesterday"}), '"\\ud800"', "9" * 5000]
    body = "\n".join(lines).encode() + b"\n\xff\n"
    answer = requests.post(f"{hub.economics}/{wire.USAGE_RECORDS}", body, headers=bearer(RECORDER), timeout=30)
    assert answer.status_code == 200
    assert len(answer.json()["refused"]) == 7 and "not json" in answer.json()["refused"][0]


def test_metrics_say_usd_by_component_to_services_alone(hub: RealHub) -> None:
    hub.hand_in(wire.COMPUTE_RECORDS, [compute(workspace="metrics", ended=NOON + timedelta(hours=2))])
    url = f"{hub.economics}/metrics"
    text = requests.get(url, headers=bearer(RECORDER), timeout=30).text
    assert 'neuralinverse_economics_records_total{kind="compute",outcome="new"}' in text
    assert "neuralinverse_economics_ledger_up" in text
    assert requests.get(url, timeout=30).status_code == 401


def test_nobody_but_services_hands_in_and_nobody_but_administrators_looks(hub: RealHub, admin: str) -> None:
    """Every route, with everything that one might try."""
    tokens = {
        "nobody": "",
        "made-up": "made-up",
        "person": hub.token("ada", ["self"]),
        # Administrators' own token without the scopes for this page.
        "narrow": hub.token("root", ["self"]),
        "no admin": hub.token("root", [ACCESS]),
        "admin": admin,
        "other service": TESTER,
        "recorder": RECORDER,
    }
    records = {f"{hub.economics}/{path}" for path in (wire.USAGE_RECORDS, wire.COMPUTE_RECORDS, wire.VOLUME_RECORDS)}
    looks = {f"{hub.economics}/{path}" for path in ("", *ADMIN_ROUTES)}
    known = {
        f"{hub.economics}/{path}"
        for path in ("healthz", "metrics", "oauth_callback", "files/economics.js", "api/weight")
    }
    patterns = [pattern for pattern, *_ in routes("/services/economics/", Desk(Book("", b""), PriceBook(None)))]
    # A new route without a line here fails.
    assert len(patterns) - 1 == len(records | looks | known)
    for name, token in tokens.items():
        headers = bearer(token) if token else {}
        for url in records:
            status = requests.post(url, b"", headers=headers, timeout=30).status_code
            wanted = 200 if name == "recorder" else 401 if name in ("nobody", "made-up") else 403
            assert status == wanted, (name, url)
        for url in looks:
            answer = requests.get(url, headers=headers, timeout=30, allow_redirects=False)
            if name == "admin":
                # 400: what the route is asked for is missing, and whoever asks may know.
                assert answer.status_code in (200, 400), (url, answer.text)
            else:
                assert answer.status_code in (302, 401, 403), (name, url)
                assert "usd" not in answer.text
        # A page's own login alone changes nothing; a token is sent by who means it.
        changed = requests.post(f"{hub.economics}/api/weight", b"{}", headers=headers, timeout=30).status_code
        assert changed == 400 if name == "admin" else changed in (401, 403), name
        status = requests.get(f"{hub.economics}/metrics", headers=headers, timeout=30).status_code
        assert (status == 200) == (name == "recorder"), name
    assert requests.get(f"{hub.economics}/oauth_callback", timeout=30).status_code == 400
    assert requests.get(f"{hub.economics}/files/economics.js", timeout=30).status_code == 200
    assert requests.get(f"{hub.economics}/files/frame.html", timeout=30).status_code == 404
    assert requests.get(f"{hub.economics}/else", timeout=30).status_code == 404


ADMIN_ROUTES = ("api/report", "api/day", "api/whatif")


def test_an_administrator_comes_in_by_the_hubs_login_and_others_do_not(hub: RealHub) -> None:
    page = hub.browser("root").get(f"{hub.economics}/", timeout=30)
    assert page.status_code == 200 and page.url == f"{hub.economics}/" and "Economics" in page.text
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    other = hub.browser("grace").get(f"{hub.economics}/", timeout=30)
    assert other.status_code == 403 and "usd" not in other.text.lower()


def test_a_broken_database_and_a_broken_price_list_stop_nobody(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text('{"sizes": {"medium": [{"since": "2026-01-01", "usd_per_hour": "-1"}]}}')
    hub = RealHub(
        tmp_path,
        {wire.ENV_LEDGER: f"sqlite:///{tmp_path}/gone/away.sqlite", wire.ENV_PRICES: str(tmp_path / "prices.json")},
    )
    hub._serves = lambda: requests.get(f"{hub.url}/hub/health", timeout=5).ok  # type: ignore[method-assign]

    def up() -> bool:
        assert hub.process.poll() is None, hub.log
        try:
            return requests.get(f"{hub.economics}/healthz", timeout=5).status_code == 503
        except requests.RequestException:
            return False

    hub._serves = up  # type: ignore[method-assign]
    hub.start()
    try:
        answer = hub.hand_in(wire.COMPUTE_RECORDS, [compute()])
        assert answer.status_code == 503 and "away.sqlite does not answer" in answer.json()["message"]
        # It comes, and nobody has to do anything.
        (tmp_path / "gone").mkdir()
        eventually("the ledger answering", lambda: hub.hand_in(wire.COMPUTE_RECORDS, [compute()]).ok, 40)
        admin = hub.token("root", [ACCESS, "admin-ui"])
        wrong = requests.get(f"{hub.economics}/api/report", headers=bearer(admin), timeout=30)
        assert wrong.status_code == 503 and "usd_per_hour is -1" in wrong.json()["message"]
        (tmp_path / "prices.json").write_text("{}")
        assert requests.get(f"{hub.economics}/api/report", headers=bearer(admin), timeout=30).ok
        assert requests.get(f"{hub.url}/services/ai-gateway/healthz", timeout=30).ok
    finally:
        hub.stop()
