"""Engines to compare with, one file each, none needed; `mtchat.bench.peer` says what a file must have."""
