"""Benchmarks: speed of engines and sandbox, and quality of the programs."""
