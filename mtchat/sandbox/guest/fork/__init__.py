"""Checkpoints: processes that hold the state of a program and fork the runs that continue from it."""
