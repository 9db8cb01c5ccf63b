"""Text on a terminal or in a pipe: layout, colours, diffs, hints; and the slash commands."""
