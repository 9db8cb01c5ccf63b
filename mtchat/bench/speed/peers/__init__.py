"""Engines to compare with, one file each, all optional; `bench.speed.engine` has their contract."""
