from __future__ import annotations

import pytest
from traitlets import Unicode
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
    with pytest.raises(UnknownSetting, match=r"known: git_host, .*hub_url, .*sync_secret_file"):
        check_names(c, [NeuralInverseHub])


def test_settings_of_classes_that_are_not_known_are_left_alone() -> None:
    c = Config()
    c.Unrelated.anything = 1
    check_names(c, [NeuralInverseHub])


def test_a_section_that_is_nearly_one_is_refused_with_the_right_one_and_its_place_in_the_chart() -> None:
    c = Config()
    c.NeuralInversHub.git_host = "none"
    with pytest.raises(UnknownSetting, match=r"did you mean 'NeuralInverseHub'\? .*hub\.config\.NeuralInversHub"):
        check_names(c, [NeuralInverseHub])


def test_a_section_may_set_what_only_a_subclass_of_it_has() -> None:
    class Heir(NeuralInverseHub):
        own = Unicode().tag(config=True)

    c = Config()
    c.NeuralInverseHub.own = "kept"
    check_names(c, [NeuralInverseHub, Heir])
    with pytest.raises(UnknownSetting):
        check_names(c, [NeuralInverseHub])
