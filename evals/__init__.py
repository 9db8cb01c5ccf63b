"""Experiments: what a part is worth, measured on data; each is run by hand with `python -m evals.NAME`."""
