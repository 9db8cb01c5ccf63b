"""The mark of tests that need the small starter model."""

import pytest

from mtchat.bundled_models import cache

needs_small = pytest.mark.skipif(
    cache.locate("starter-small", cache.models_folder()) is None,
    reason="starter-small is not here: mtchat models get starter-small",
)
