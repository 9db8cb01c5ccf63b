"""Python that the user pasted or typed, which becomes a turn without a model."""
