"""Code written again for the same instructions: finished, cleaner, or all at once."""
