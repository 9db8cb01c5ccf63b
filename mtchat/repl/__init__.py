"""The conversation in a terminal: the only room that imports prompt_toolkit."""
