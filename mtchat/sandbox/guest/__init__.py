"""The code that lives inside the sandbox, bound there read-only; it imports nothing of mtchat."""
