"""Engines to compare with, one file each, none needed; `bench.speed.peer` says what a file must have."""
