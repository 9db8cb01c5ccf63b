"""What code for a turn does, leaves out, replaces or breaks, read from its syntax tree and its runs."""
