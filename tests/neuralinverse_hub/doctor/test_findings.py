from __future__ import annotations

import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.doctor.findings import Facts, findings


def names(**seen: object) -> list[str]:
    return [each.name for each in findings(Facts(**seen))]  # type: ignore[arg-type]


def test_what_was_not_looked_at_gives_no_finding() -> None:
    assert findings(Facts()) == []


def test_a_sound_installation_gives_no_finding() -> None:
    scope = wire.service_scope(wire.GATEWAY_SERVICE)
    assert not names(
        public_url="https://hub.example.org",
        scopes=("users:activity!user=ada", scope),
        inotify_watches=524288,
        inotify_instances=8192,
        clock_skew_s=-2.0,
        git_refused="",
        may_patch_pods=True,
        image_problem="",
        policy_enforced=True,
    )


@pytest.mark.parametrize(
    "url", ["http://localhost:8000", "http://hub.localhost", "http://127.0.0.1:1", "http://[::1]:8000"]
)
def test_this_machine_needs_no_https(url: str) -> None:
    assert names(public_url=url) == []


@pytest.mark.parametrize(
    "seen, name",
    [
        ({"public_url": "http://hub.example.org"}, "no-https"),
        ({"public_url": "http://10.0.0.7"}, "no-https"),
        ({"scopes": ("self",)}, "gateway-scope-missing"),
        ({"inotify_watches": 8192}, "inotify-max-user-watches"),
        ({"inotify_instances": 128}, "inotify-max-user-instances"),
        ({"clock_skew_s": 90.0}, "clock-skew"),
        ({"clock_skew_s": -90.0}, "clock-skew"),
        ({"git_refused": "deny updating a hidden ref"}, "git-refs-refused"),
        ({"may_patch_pods": False}, "no-patch-on-pods"),
        ({"image_problem": "ErrImagePull: no such host"}, "image-not-startable"),
        ({"policy_enforced": False}, "network-policies-not-enforced"),
    ],
)
def test_each_fault_has_its_finding_and_says_how_to_mend_it(seen: dict[str, object], name: str) -> None:
    (finding,) = findings(Facts(**seen))  # type: ignore[arg-type]
    assert finding.name == name and len(finding.mend) > 20


def test_errors_come_before_warnings() -> None:
    assert names(inotify_watches=1, clock_skew_s=99.0) == ["clock-skew", "inotify-max-user-watches"]
