"""Later turns derived again when one before them has changed."""
