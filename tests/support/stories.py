"""What the stories need: a small model, a sandbox, and how mtchat is started."""

import pytest

from mtchat.bundled_models import cache
from mtchat.sandbox.host import execute

MODEL = ["-m", "mtchat", "--model", "starter-small", "--max-tokens", "48"]
STORY_MARKS = [
    pytest.mark.terminal,
    pytest.mark.model,
    pytest.mark.skipif(
        cache.locate("starter-small", cache.models_folder()) is None,
        reason="starter-small is not here: mtchat models get starter-small",
    ),
    pytest.mark.skipif(not execute.probe().ok, reason=f"no sandbox: {execute.probe().reason}"),
]
