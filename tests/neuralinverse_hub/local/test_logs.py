"""Logs stay small, and their telling lines are found."""

from __future__ import annotations

from pathlib import Path

from neuralinverse_hub.local import logs

HUB = """\
[I 2026-11-23 17:06:33.553 JupyterHub app:3767] Starting managed service git
2026-11-23T17:05:26.165Z [ConfigProxy] error: 404 GET /hub/health
    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1864:16) {
[I 2026-11-23 17:06:33.554 JupyterHub service:138] Spawning python -m neuralinverse_hub.githost
python: No module named neuralinverse_hub.githost.__main__
[W 2026-11-23 17:06:34.100 JupyterHub app:1] something routine
[C 2026-11-23 17:06:34.558 JupyterHub app:3808] Service git exited with status 1
"""


def test_the_tail_is_what_tells_something(tmp_path: Path) -> None:
    log = tmp_path / "hub.log"
    log.write_text("[E 2026-11-22 10:00:00.000 JupyterHub app:1] of an earlier run\n" + HUB)
    assert logs.tail(log, since=log.stat().st_size - len(HUB)).splitlines() == [
        "  python: No module named neuralinverse_hub.githost.__main__",
        "  [C 2026-11-23 17:06:34.558 JupyterHub app:3808] Service git exited with status 1",
    ]


def test_the_tail_of_nothing_says_so(tmp_path: Path) -> None:
    assert "no log" in logs.tail(tmp_path / "missing")
    (tmp_path / "empty").write_text("")
    assert "nothing" in logs.tail(tmp_path / "empty")


def test_a_log_past_its_limit_is_moved_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "hub.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"before" * 20)
        logs.rotate(log, limit_bytes=1000)
        assert not (tmp_path / "hub.log.1").exists()
        logs.rotate(log, limit_bytes=100)
        writer.write(b"after")
    assert (tmp_path / "hub.log.1").read_bytes() == b"before" * 20
    assert log.read_bytes() == b"after"
