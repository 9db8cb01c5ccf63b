"""Runs on the host: starts a contained run, follows it, and turns how it ended into an outcome."""
