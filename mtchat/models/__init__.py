"""Models by name: where they are, how they are loaded, and what a model is that is still loading."""
