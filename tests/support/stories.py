"""What the stories need: a small model, a sandbox, and how mtchat is started."""

import pytest

from tests.support.scripts import needs_sandbox
from tests.support.starter import needs_small

MODEL = ["-m", "mtchat", "--model", "starter-small", "--max-tokens", "48"]
STORY_MARKS = [
    pytest.mark.terminal,
    pytest.mark.model,
    needs_small,
    needs_sandbox,
]
