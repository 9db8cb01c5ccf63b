"""Benchmarks of program synthesis, one file each; `bench.quality.suite` says what a file must have."""
