"""The public API: its names are pinned, its values frozen, and each example of its page runs."""

import contextlib
import io
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from typing import Any, get_args

import pytest

import mtchat
from mtchat.sandbox.host.execute import probe
from tests import ROOT
from tests.support.engine_models import STARTER_SMALL

PUBLIC = [
    "Answer",
    "AttemptsExhausted",
    "CandidateChosen",
    "CandidateProgress",
    "CandidatesStarted",
    "CheckResult",
    "ChunkChange",
    "CodeWritten",
    "Command",
    "ContextFitted",
    "Conversation",
    "Correction",
    "CorrectionCompared",
    "CorrectionFinished",
    "CorrectionStarted",
    "Cut",
    "EditResult",
    "Event",
    "ExitCode",
    "Fact",
    "FactSource",
    "Family",
    "Fill",
    "FixResult",
    "Language",
    "LaterTurnChanged",
    "Limits",
    "Message",
    "Model",
    "ModelCard",
    "ModelError",
    "MtchatError",
    "NamesReplaced",
    "Notice",
    "Outcome",
    "PYTHON",
    "Piece",
    "PluginError",
    "Policy",
    "PrefillFinished",
    "Program",
    "Prompt",
    "Provenance",
    "Repair",
    "RepairStarted",
    "ReplacedName",
    "Rework",
    "Rewrite",
    "RunFinished",
    "RunStarted",
    "RunStopped",
    "Sampling",
    "Sandbox",
    "SandboxError",
    "Session",
    "Settings",
    "Step",
    "ThoughtWritten",
    "Turn",
    "TurnResult",
    "TurnWritten",
    "Usage",
    "UsageError",
    "ValueChange",
    "Variable",
    "__version__",
    "load_model",
]
CONTRACTS = {
    "Command",
    "Conversation",
    "Event",
    "Model",
    "Provenance",
    "Sandbox",
    "__version__",
    "load_model",
}
BLOCK = re.compile(r"```python\n(?P<code>.*?)```(?:\n\n```text\n(?P<output>.*?)```)?", re.DOTALL)


def test_the_public_names_are_these() -> None:
    assert sorted(mtchat.__all__) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(mtchat, name)
    if name not in ("__version__", "Event", "Provenance", "PYTHON"):
        assert value.__doc__
        assert not value.__doc__.startswith(f"{name}(")  # which dataclass writes where nobody did


def test_values_are_frozen_and_documented() -> None:
    for name in set(PUBLIC) - CONTRACTS:
        value = getattr(mtchat, name)
        if is_dataclass(value):
            assert value.__dataclass_params__.frozen, name  # type: ignore[attr-defined]
    for event in get_args(mtchat.Event):
        assert event.__name__ in PUBLIC
        for field in fields(event):
            assert not field.name.startswith("_")


def test_the_name_of_a_model_is_no_model() -> None:
    with pytest.raises(mtchat.UsageError, match=r"not its name: mtchat.load_model\('starter'\) loads it"):
        mtchat.Conversation("starter")  # type: ignore[arg-type]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Conversatoin'"):
        mtchat.Conversatoin  # type: ignore[attr-defined]  # noqa: B018


def test_the_import_brings_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "numpy", "prompt_toolkit", "pygments", "tokenizers")
    asked = f"import mtchat, sys; print(*(name for name in {heavy!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.model
@pytest.mark.sandbox
@pytest.mark.parametrize("page", ["api.md"])
def test_every_example_of_the_page_does_what_it_says(page: str) -> None:
    if STARTER_SMALL is None:
        pytest.skip("starter-small is not here")
    if not probe().ok:
        pytest.skip(f"no sandbox works here: {probe().reason}")
    space: dict[str, Any] = {}
    blocks = list(BLOCK.finditer((ROOT / "docs" / page).read_text("utf-8")))
    assert len(blocks) >= 10
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block["code"], page, "exec"), space)
        if block["output"] is not None:
            assert printed.getvalue() == block["output"], block["code"]
