"""How each kind of model is prompted, and where its completions end: pure functions."""
