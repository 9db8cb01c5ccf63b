"""Settings as the user types them: values, bounds, and messages that say what would have been right."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtchat.errors import ExitCode, UsageError
from mtchat.sandbox.policy import rlimits
from mtchat.session.settings import BOUNDS, HELP, PROCESSES, Limits, Sampling, Settings, full_name
from mtchat.store.values import rebuild


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0.7", 0.7),
        ("temperature", " 1 ", 1.0),
        ("top_p", "1", 1.0),
        ("top_k", "40", 40),
        ("seed", str(2**63 - 1), 2**63 - 1),
        ("seconds", "1e3", 1000.0),
        ("seconds", "60s", 60.0),
        ("seconds", "2m", 120.0),
        ("wall", "1.5 min", 90.0),
        ("seconds", "1 hour", 3600.0),
        ("memory_mib", "512", 512),
        ("memory_mib", "512M", 512),
        ("memory_mib", "1 GiB", 1024),
        ("memory", "1.5g", 1536),
        ("disk", "1 GB", 1024),
        ("output_kib", "2 MiB", 2048),
        ("output", "64k", 64),
        ("run", "off", "off"),
        ("run", "Yes", "on"),
        ("run", "Ask", "ask"),
    ],
)
def test_a_setting_takes_the_value_that_was_typed(name, text, value):
    assert getattr(Settings().with_text(name, text), full_name(name)) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("temprature", "1", "no setting 'temprature'; settings are temperature, top_p"),
        ("temperature", "hot", "temperature must be a number, not 'hot'"),
        ("temperature", "-0.1", "temperature must be between 0 and 2, not -0.1"),
        ("temperature", "nan", "temperature must be between 0 and 2, not nan"),
        ("temperature", "inf", "temperature must be between 0 and 2, not inf"),
        ("top_p", "0", "top_p must be between 0.01 and 1, not 0"),
        ("top_k", "1.5", "top_k must be a whole number, not '1.5'"),
        ("top_k", "", "top_k must be a whole number, not ''"),
        ("top_k", "9" * 9, "top_k must be between 0 and 1000000, not 999999999"),
        ("seed", str(2**63), "seed must be between 0 and 9223372036854775807, not 9223372036854775808"),
        ("seed", "9" * 5000, "seed must be a whole number, not '9"),
        ("memory_mib", "1", "memory_mib must be between 64 MiB and 1048576 MiB, not 1"),
        ("memory_mib", "512k", "memory_mib must be a whole number such as 512, 512M or 2 GiB, not '512k'"),
        (
            "memory_mib",
            "1 GiB 2",
            "memory_mib must be a whole number such as 512, 512M or 2 GiB, not '1 GiB 2'",
        ),
        ("seconds", "60 MiB", "seconds must be a number such as 90, 90s or 2min, not '60 MiB'"),
        ("seconds", "s", "seconds must be a number such as 90, 90s or 2min, not 's'"),
        ("seconds", "2 days", "seconds must be a number such as 90, 90s or 2min, not '2 days'"),
        ("seconds", "25h", "seconds must be between 0.1 s and 86400 s, not 25h"),
        ("disk_mib", "0", "disk_mib must be between 1 MiB and 1048576 MiB, not 0"),
        ("output_kib", "2 TiB", "output_kib must be between 1 KiB and 1048576 KiB, not 2 TiB"),
        ("run", "0", "run must be on, ask or off, not '0'"),
        ("run", "maybe", "run must be on, ask or off, not 'maybe'"),
        ("policy", "the best", "policy must be a name such as default, best or plain, not 'the best'"),
    ],
)
def test_a_wrong_setting_is_a_usage_error_that_says_what_is_right(name, text, message):
    with pytest.raises(UsageError) as caught:
        Settings().with_text(name, text)
    assert str(caught.value).startswith(message)
    assert caught.value.code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        (Settings, "run", False, 'run must be "on", "ask" or "off", not False'),
        (Settings, "run", True, 'run must be "on", "ask" or "off", not True'),
        (Settings, "run", "never", 'run must be "on", "ask" or "off", not \'never\''),
        (Settings, "run", ["on"], 'run must be "on", "ask" or "off", not [\'on\']'),
        (Settings, "ask", "x", 'ask must be "auto", "always" or "never", not \'x\''),
        (Settings, "corrections", "off", "corrections must be True or False, not 'off'"),
        (Settings, "corrections", 0, "corrections must be True or False, not 0"),
        (
            Settings,
            "policy",
            "the best",
            "policy must be a name such as default, best or plain, not 'the best'",
        ),
        (Settings, "policy", None, "policy must be a name such as default, best or plain, not None"),
        (Settings, "language", 3, "language must be a name such as python or go, not 3"),
        (Settings, "language", "cobol", "language must be one of python, javascript"),
        (Settings, "n", -2, "n must be between 1 and 64, not -2"),
        (Settings, "n", "a", "n must be a whole number, not 'a'"),
        (Settings, "n", True, "n must be a whole number, not True"),
        (Settings, "max_tokens", 0, "max_tokens must be between 1 and 100000, not 0"),
        (Settings, "seconds", -5, "seconds must be between 0.1 s and 86400 s, not -5"),
        (Settings, "seed", 2**63, "seed must be between 0 and 9223372036854775807, not 9223372036854775808"),
        (Settings, "seed", 10**4000, "seed must be between 0 and 9223372036854775807, not a number of more"),
        (Settings, "temperature", float("nan"), "temperature must be between 0 and 2, not nan"),
        (Sampling, "temperature", 5, "temperature must be between 0 and 2, not 5"),
        (Sampling, "temperature", "hot", "temperature must be a number, not 'hot'"),
        (Sampling, "top_k", 1.5, "top_k must be a whole number, not 1.5"),
        (Sampling, "seed", -1, "seed must be at least 0, not -1"),
        (Limits, "seconds", "a", "seconds must be a number, not 'a'"),
        (Limits, "seconds", -1, "seconds must be at least 0.1 s, not -1"),
        (Limits, "memory_mib", 1, "memory_mib must be between 64 MiB and 1048576 MiB, not 1"),
    ],
)
def test_a_wrong_value_of_a_program_is_a_usage_error_that_says_what_is_right(kind, name, value, message):
    with pytest.raises(UsageError) as caught:
        kind(**{name: value})
    assert str(caught.value).startswith(message)


def test_values_of_a_program_may_be_at_the_bounds_and_of_any_fitting_type():
    for name, (low, high) in BOUNDS.items():
        assert getattr(Settings(**{name: low}), name) == low
        assert getattr(Settings(**{name: high}), name) == high
    assert Settings(run="ask", corrections=False, language="C++").run == "ask"
    assert Sampling(seed=2**63 + 7).seed == 2**63 + 7


def test_a_recorded_sampling_may_hold_anything():
    assert Sampling.from_record(temperature=-3.0).temperature == -3.0
    assert Sampling.from_record(seed=7) == Sampling(seed=7)
    assert rebuild(Sampling, {"temperature": 99.0, "max_tokens": -1}).max_tokens == -1


def test_every_setting_has_a_meaning_and_its_default_is_within_bounds():
    assert [each.name for each in fields(Settings)] == list(HELP)
    assert all(low <= getattr(Settings(), name) <= high for name, (low, high) in BOUNDS.items())


def test_what_is_shown_of_a_setting_can_be_typed_again():
    for name, value, _ in Settings().rows():
        assert Settings().with_text(name, value) == Settings()


def test_sampling_and_limits_carry_what_was_set():
    settings = Settings().with_text("seed", "7").with_text("seconds", "2").with_text("memory_mib", "128")
    settings = settings.with_text("disk_mib", "3").with_text("output_kib", "4")
    assert settings.sampling == Sampling(seed=7)
    assert settings.limits == Limits(seconds=2.0, memory_mib=128, disk_mib=3, output_kib=4)


def test_the_fixed_bound_of_processes_is_the_one_that_the_sandbox_keeps():
    assert rlimits.PROCESSES == PROCESSES


WORDS = st.sampled_from(
    ["on", "FALSE", " ask ", "off", "Always", "never", "auto", "js", "C++", "default", "3", "x"]
)


@given(name=st.sampled_from(list(HELP)), text=st.text(max_size=8) | WORDS)
def test_any_text_gives_a_value_within_bounds_or_a_usage_error(name, text):
    try:
        settings = Settings().with_text(name, text)
    except UsageError:
        return
    if isinstance(value := getattr(settings, name), str):
        assert value.isidentifier()
        assert Settings().with_text(name, value) == settings
        return
    low, high = BOUNDS.get(name, (0, 1))
    assert low <= value <= high
