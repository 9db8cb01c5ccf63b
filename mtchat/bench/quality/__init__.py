"""Quality: benchmark problems as conversations, scored in the sandbox and reported."""
