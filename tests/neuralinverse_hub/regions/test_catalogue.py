"""The catalogue of regions: what it means, and what is said about one that is not right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neuralinverse_hub.regions.catalogue import parse, read
from neuralinverse_hub.regions.errors import BadCatalogue


def with_regions(**rows: Any) -> dict[str, Any]:
    return {"git": "https://git.example.org", "regions": rows}


def test_a_domain_and_a_git_host_are_enough_for_four_regions() -> None:
    catalogue = parse({"domain": "hub.example.org", "git": "https://git.example.org/"})
    assert [(r.name, r.place, r.hub, r.residency) for r in catalogue.regions] == [
        ("us", "United States", "https://us.hub.example.org", "us"),
        ("europe", "Europe", "https://europe.hub.example.org", "eu"),
        ("singapore", "Singapore", "https://singapore.hub.example.org", "sg"),
        ("japan", "Japan", "https://japan.hub.example.org", "jp"),
    ]
    assert catalogue.git == "https://git.example.org"


def test_named_regions_are_the_only_ones_and_keep_what_is_shipped_of_them() -> None:
    catalogue = parse(with_regions(europe={"hub": "https://eu.example.org/"}, brazil={"hub": "https://br.example.org"}))
    assert [r.name for r in catalogue.regions] == ["europe", "brazil"]
    assert catalogue["europe"].place == "Europe"
    assert catalogue["europe"].hub == "https://eu.example.org"
    assert catalogue["brazil"].place == "brazil"


def test_a_hub_on_this_machine_may_speak_plain_http() -> None:
    for host in ("127.0.0.1:8000", "127.8.0.2", "localhost:8001", "eu.localhost:8000", "[::1]:8000"):
        assert parse(with_regions(us={"hub": f"http://{host}"}))["us"].hub == f"http://{host}"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (with_regions(us={"hub": "http://us.example.org"}), "over plain HTTP"),
        (with_regions(us={"hub": "http://127.0.0.1.example.org"}), "over plain HTTP"),
        ({"git": "http://git.example.org", "domain": "example.org"}, "'git'.*over plain HTTP"),
        (with_regions(us={"hub": "ftp://us.example.org"}), "https:// address"),
        (with_regions(us={"hub": "https://u:p@us.example.org"}), "without user name"),
        (with_regions(us={"hub": "https://us.example.org:port"}), "https:// address"),
        (with_regions(us={}), "'us' has no 'hub'.*'domain'"),
        (with_regions(us={"hub": "https://a.example", "git_miror": "https://b.example"}), "did you mean 'git_mirror'"),
        (with_regions(us={"hub": "https://a.example"}, japan={"hub": "https://a.example/"}), "'us' and 'japan'.*hub"),
        (
            with_regions(
                a={"hub": "https://a.example", "place": "Here"}, b={"hub": "https://b.example", "place": "here"}
            ),
            "place",
        ),
        (with_regions(US={"hub": "https://a.example"}), "lower-case"),
        (with_regions(us={"hub": "https://a.example", "gateway": "sweden/x"}), "'gateway'.*list"),
        (with_regions(us={"hub": "https://a.example", "gateway": ["sweden"]}), "'gateway'.*list"),
        (with_regions(x={"hub": "https://a.example", "keep_inside": True}), "needs a 'residency'"),
        (with_regions(x={"hub": "https://a.example", "keep_inside": "yes"}), "true or false"),
        (with_regions(us=["https://a.example"]), "should be an object"),
        (with_regions(), "empty"),
        ({"domain": "example.org"}, "'git' is missing"),
        # One hub under two spellings of its address.
        (with_regions(a={"hub": "https://A.example"}, b={"hub": "https://a.example:443/"}), "'a' and 'b'.*hub"),
        (
            with_regions(us={"hub": "https://a.example", "git_mirror": "http://git.example.org"}),
            "'git_mirror'.*over plain",
        ),
        (
            with_regions(us={"hub": "https://a.example", "git_mirror": "https://a.example"}),
            "a hub; its Git host is 'https://a.example/services/git'",
        ),
        ({"git": "https://us.example.org", "domain": "example.org"}, "'git' is.*a hub; its Git host is"),
        (
            with_regions(
                a={"hub": "https://a.example"},
                b={"hub": "https://b.example", "git_mirror": "https://a.example/services/git"},
            ),
            "region 'b': 'git_mirror'.*region 'a' runs no Git host; give that region the same",
        ),
        ([], "should be an object"),
    ],
)
def test_what_is_wrong_is_said_with_the_place_and_what_to_do(data: Any, said: str) -> None:
    with pytest.raises(BadCatalogue, match=said):
        parse(data)


def test_two_regions_with_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "regions.json"
    file.write_text('{"git": "https://g.example", "regions": {"us": {}, "us": {}}, "domain": "example.org"}')
    with pytest.raises(BadCatalogue, match=r"regions\.json.*'us' is there twice"):
        read(file)
    # Also within one region, where the second address would silently win.
    file.write_text(
        '{"git": "https://g.example", "regions": {"us": {"hub": "https://a.example", "hub": "https://b.example"}}}'
    )
    with pytest.raises(BadCatalogue, match=r"regions\.json.*'hub' is there twice"):
        read(file)


def test_who_runs_a_git_host_follows_from_the_addresses() -> None:
    catalogue = parse(
        {
            "git": "https://US.example.org:443/services/git/",
            "domain": "example.org",
            "regions": {
                "us": {},
                "europe": {"git_mirror": "https://europe.example.org/services/git"},
                "singapore": {"git_mirror": "https://europe.example.org/services/git"},
                "japan": {"git_mirror": "https://git.jp.example.org"},
            },
        }
    )
    assert [r.name for r in catalogue.regions if catalogue.serves_git(r)] == ["us"]
    assert [r.name for r in catalogue.regions if catalogue.mirrors_git(r)] == ["europe"]


def test_a_file_that_is_missing_or_no_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCatalogue, match=r"nowhere\.json cannot be read: No such file"):
        read(tmp_path / "nowhere.json")
    (tmp_path / "half.json").write_text('{"git": ')
    with pytest.raises(BadCatalogue, match=r"half\.json is not JSON"):
        read(tmp_path / "half.json")


def test_an_unknown_region_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    file = tmp_path / "regions.json"
    file.write_text(json.dumps({"domain": "hub.example.org", "git": "https://git.example.org"}))
    catalogue = read(file)
    with pytest.raises(BadCatalogue, match="no region 'eurpoe'; did you mean 'europe'"):
        catalogue["eurpoe"]
    with pytest.raises(BadCatalogue, match="no region 'mars'; known: us, europe, singapore, japan"):
        catalogue["mars"]
    assert "europe" in catalogue and "mars" not in catalogue
