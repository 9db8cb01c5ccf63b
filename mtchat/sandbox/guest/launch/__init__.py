"""Pid 1 of a run: starts the program's process, waits for it, and leaves nothing behind."""
