from __future__ import annotations

import pytest
from traitlets.config import Config

from neuralinverse_hub.settings import NeuralInverseHub, UnknownSetting, check_names


def test_a_misspelt_setting_is_refused_with_the_nearest_right_name() -> None:
    c = Config()
    c.NeuralInverseHub.git_hots = "none"
    with pytest.raises(UnknownSetting, match=r"c\.NeuralInverseHub\.git_hots does not exist; did you mean 'git_host'"):
        check_names(c, [NeuralInverseHub])


def test_a_name_like_no_other_is_refused_with_all_known_ones() -> None:
    c = Config()
    c.NeuralInverseHub.zzz = 1
    with pytest.raises(UnknownSetting, match="known: git_host, git_root, hub_url, sync_secret_file"):
        check_names(c, [NeuralInverseHub])


def test_settings_of_others_are_left_alone() -> None:
    c = Config()
    c.Unrelated.anything = 1
    check_names(c, [NeuralInverseHub])
