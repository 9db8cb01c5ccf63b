"""Benchmarks of program synthesis, one file each; `bench.quality.suite` has their contract."""
