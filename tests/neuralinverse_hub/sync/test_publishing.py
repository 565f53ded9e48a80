"""What lies on the host after hours and days of snapshots; a real host, and a clock that is passed in."""

from __future__ import annotations

import os

import pytest

from neuralinverse_hub.sync import history, objects
from neuralinverse_hub.sync.config import Config
from neuralinverse_hub.sync.credentials import Credentials
from neuralinverse_hub.sync.errors import RefMoved, Superseded
from neuralinverse_hub.sync.host import NOTHING, GitHost, Update
from neuralinverse_hub.sync.pack import Pack
from neuralinverse_hub.sync.publishing import Publisher
from tests.neuralinverse_hub.sync.rig import git

HOUR = 3600.0
START = 1_800_000_000.0 - 1_800_000_000.0 % HOUR


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make_publisher(tmp_path, host, clock):
    made = []

    def make(generation=1):
        (tmp_path / "state" / "sync").mkdir(parents=True, exist_ok=True)
        config = Config(
            tmp_path / "work",
            tmp_path / "state",
            f"{host.base}/ada/workspaces.git",
            "default",
            generation,
            Credentials("ada", "ada-token"),
        )
        made.append(Publisher(config, GitHost(config.remote, config.credentials), clock))
        made[-1].look()
        return made[-1]

    yield make
    for publisher in made:
        publisher.host.close()


def publish(publisher, content, tmp_path):
    with Pack(tmp_path) as pack:
        blob = pack.add(objects.BLOB_TYPE, content.encode())
        tree = pack.add(objects.TREE_TYPE, objects.tree([(objects.FILE, b"a.txt", blob)]))
        publisher.publish(tree, 1, pack)


def refs(host):
    lines = git(host.repository(), "for-each-ref", "--format=%(refname)").split()
    return {line.removeprefix("refs/ni/default/") for line in lines}


def contents(host, ref):
    commits = git(host.repository(), "log", "--format=%H", f"refs/ni/default/{ref}").split()
    return [git(host.repository(), "show", f"{commit}:a.txt") for commit in commits]


def test_every_push_of_the_last_hour_can_be_gone_back_to(host, clock, tmp_path, make_publisher):
    publisher = make_publisher()
    for number in range(4):
        publish(publisher, f"first hour {number}", tmp_path)
        clock.now += 15 * 60
    publish(publisher, "second hour", tmp_path)
    (recent,) = [ref for ref in refs(host) if "/recent/" in ref]
    assert contents(host, recent) == [f"first hour {number}" for number in (3, 2, 1, 0)]
    assert contents(host, "1/snap") == ["second hour"]


def test_older_hours_keep_their_last_state_only_and_the_host_gets_its_room_back(host, clock, tmp_path, make_publisher):
    publisher = make_publisher()
    for hour in range(5):
        for minute in (0, 20, 40):
            clock.now = START + hour * HOUR + minute * 60
            publish(publisher, f"hour {hour} minute {minute}", tmp_path)
    at = sorted(ref for ref in refs(host) if "/at/" in ref)
    assert [contents(host, ref) for ref in at] == [[f"hour {hour} minute 40"] for hour in range(4)]
    assert len([ref for ref in refs(host) if "/recent/" in ref]) <= 3
    git(host.repository(), "gc", "-q", "--prune=now")
    everything = git(host.repository(), "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)")
    assert everything.split().count("blob") < 15


def test_days_of_work_leave_no_more_refs_than_promised(host, clock, tmp_path, make_publisher):
    publisher = make_publisher()
    for step in range(35 * 2):
        clock.now = START + step * 12 * HOUR
        publish(publisher, f"step {step}", tmp_path)
    assert len(refs(host)) <= 31 + 5 + 3 + 1


def test_a_new_generation_takes_over_what_is_worth_keeping(host, clock, tmp_path, make_publisher):
    first = make_publisher(1)
    for hour in range(3):
        clock.now = START + hour * HOUR
        publish(first, f"hour {hour}", tmp_path)
    second = make_publisher(2)
    clock.now += 60
    publish(second, "second generation", tmp_path)
    second.adopt()
    assert all(ref.startswith("2/") for ref in refs(host))
    kept = {contents(host, ref)[0] for ref in refs(host)}
    assert kept == {"hour 0", "hour 1", "hour 2", "second generation"}
    with pytest.raises((Superseded, RefMoved)):
        publish(first, "from the grave", tmp_path)
    with pytest.raises(Superseded):
        first.look()


def test_a_push_whose_answer_was_lost_counts_as_arrived(host, clock, tmp_path, make_publisher):
    publisher, other = make_publisher(), make_publisher()
    publish(publisher, "one", tmp_path)
    publish_twice = publisher.host.push

    def lose_the_answer(updates, pack):
        updates = list(updates)
        publish_twice(updates, pack)
        publish_twice(updates, pack)

    publisher.host.push = lose_the_answer
    publish(publisher, "two", tmp_path)
    assert contents(host, "1/snap")[0] == "two"
    other.look()
    assert other.tree == publisher.tree


def test_a_ref_moves_only_from_where_it_is_believed_to_be(host, clock, tmp_path, make_publisher):
    publisher = make_publisher()
    publish(publisher, "one", tmp_path)
    with Pack(tmp_path) as pack:
        tree = pack.add(objects.TREE_TYPE, b"")
        commit = pack.add(objects.COMMIT_TYPE, objects.commit(tree, [], 0, "stray"))
        with pytest.raises(RefMoved):
            publisher.host.push([Update("refs/ni/default/1/snap", NOTHING, commit)], pack)
        with pytest.raises(RefMoved):
            publisher.host.push([Update("refs/ni/default/1/snap", os.urandom(20), commit)], pack)
    assert contents(host, "1/snap") == ["one"]


def test_the_newest_of_each_hour_is_named_by_its_own_time(clock):
    assert history.time_of(f"at/{history.stamp(clock.now)}").timestamp() == clock.now
