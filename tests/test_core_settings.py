"""Settings as the user types them: values, bounds, and messages that say what would have been right."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtchat.core.settings import BOUNDS, HELP, Sampling, Settings
from mtchat.errors import ExitCode, UsageError


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0.7", 0.7),
        ("temperature", " 1 ", 1.0),
        ("top_p", "1", 1.0),
        ("top_k", "40", 40),
        ("seed", str(2**63 - 1), 2**63 - 1),
        ("seconds", "1e3", 1000.0),
        ("run", "off", False),
        ("run", "Yes", True),
    ],
)
def test_a_setting_takes_the_value_that_was_typed(name, text, value):
    assert getattr(Settings().with_text(name, text), name) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("temprature", "1", "no setting 'temprature'; there are: temperature, top_p"),
        ("temperature", "hot", "temperature is a number, not 'hot'"),
        ("temperature", "-0.1", "temperature must be between 0 and 2, not -0.1"),
        ("temperature", "nan", "temperature must be between 0 and 2, not nan"),
        ("temperature", "inf", "temperature must be between 0 and 2, not inf"),
        ("top_p", "0", "top_p must be between 0.01 and 1, not 0"),
        ("top_k", "1.5", "top_k is a whole number, not '1.5'"),
        ("top_k", "", "top_k is a whole number, not ''"),
        ("top_k", "9" * 9, "top_k must be between 0 and 1000000, not 999999999"),
        ("seed", str(2**63), "seed must be between 0 and 9223372036854775807, not 9223372036854775808"),
        ("seed", "9" * 5000, "seed is a whole number, not '9"),
        ("memory_mib", "1", "memory_mib must be between 64 MiB and 1048576 MiB, not 1"),
        ("run", "0", "run is on or off, not '0'"),
        ("run", "maybe", "run is on or off, not 'maybe'"),
    ],
)
def test_a_wrong_setting_is_a_usage_error_that_says_what_is_right(name, text, message):
    with pytest.raises(UsageError) as caught:
        Settings().with_text(name, text)
    assert str(caught.value).startswith(message)
    assert caught.value.code is ExitCode.USAGE


def test_every_setting_has_a_meaning_and_its_default_is_within_bounds():
    assert [each.name for each in fields(Settings)] == list(HELP)
    assert all(low <= getattr(Settings(), name) <= high for name, (low, high) in BOUNDS.items())


def test_what_is_shown_of_a_setting_can_be_typed_again():
    for name, value, _ in Settings().rows():
        assert Settings().with_text(name, value) == Settings()


def test_sampling_and_limits_carry_what_was_set():
    settings = Settings().with_text("seed", "7").with_text("seconds", "2").with_text("memory_mib", "128")
    assert settings.sampling == Sampling(seed=7)
    assert (settings.limits.seconds, settings.limits.memory_mib) == (2.0, 128)


@given(name=st.sampled_from(list(HELP)), text=st.text(max_size=8))
def test_any_text_gives_a_value_within_bounds_or_a_usage_error(name, text):
    try:
        settings = Settings().with_text(name, text)
    except UsageError:
        return
    low, high = BOUNDS.get(name, (0, 1))
    assert low <= getattr(settings, name) <= high
