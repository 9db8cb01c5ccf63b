"""What the stories need: a small model, a sandbox, and how mtchat is started."""

import pytest

from mtchat.sandbox.host import execute
from tests.support.starter import needs_small

MODEL = ["-m", "mtchat", "--model", "starter-small", "--max-tokens", "48"]
STORY_MARKS = [
    pytest.mark.terminal,
    pytest.mark.model,
    needs_small,
    pytest.mark.skipif(not execute.probe().ok, reason=f"no sandbox: {execute.probe().reason}"),
]
