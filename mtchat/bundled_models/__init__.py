"""The starter models: where they come from, how their bytes are verified, where they lie on disk."""
