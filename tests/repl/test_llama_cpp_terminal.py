"""A conversation with a model that llama.cpp computes, on a real terminal: quiet, resumed, stopped."""

import importlib.util
from pathlib import Path

import pytest

from mtchat.store import load
from tests.support.scripts import needs_sandbox
from tests.support.shell import mtchat
from tests.support.starter import needs_small
from tests.support.terminal import CTRL_C, CTRL_D, ENTER, terminal

pytestmark = [
    pytest.mark.terminal,
    pytest.mark.model,
    needs_small,
    needs_sandbox,
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed"),
]
WORDS = ["-m", "mtchat", "--model", "starter-small", "--precision", "llama.cpp", "--policy", "plain"]


def test_turns_reuse_their_prefix_and_ctrl_c_leaves_the_model_ready(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    with terminal([*WORDS, "--max-tokens", "40", "talk"], tmp_path) as screen:
        screen.wait("1› ", 60)
        screen.send("Set x to 3" + ENTER)
        screen.wait("\n2› ", 120)
        screen.send("/next Print x" + ENTER)
        screen.wait("\n3› ", 120)
        screen.send("/undo" + ENTER)
        screen.wait(lambda text: text.count("\n2›") > 1, 60)
        screen.send("/next Print x times 2" + ENTER)
        screen.wait(lambda text: text.count("\n3›") > 1, 120)
        screen.send("/set max_tokens 2000" + ENTER)
        screen.send("/next Write a very long module of unit tests for a calculator" + ENTER)
        screen.wait("import", 120)
        screen.send(CTRL_C)
        screen.wait("interrupted", 10)
        screen.send(CTRL_D)
        assert screen.ended(60) == 0
        text = screen.text
    assert "computed by llama.cpp with the weights as they are stored" in text
    assert "llama_" not in text
    assert "ggml" not in text
    turns = load(tmp_path / "sessions" / "talk.jsonl").path
    assert {turn.provenance.precision for turn in turns} == {"llama.cpp"}
    second = turns[1].usage
    assert second.cached_tokens > second.prompt_tokens // 2
    same = mtchat(tmp_path, "replay", "talk", "--verify")
    assert "computing in llama.cpp" in same.stderr
