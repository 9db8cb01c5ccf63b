"""Checkpoints: a sandbox that stays alive between runs, so that a new turn runs only its own code.

A checkpoint is a process in the sandbox, a fork server (guest/fork), that holds what a prefix of a program
left in memory; the host knows it as a Snapshot, together with a copy of the work folder. Each run is a
fork of one. docs/sandbox.md has the states and transitions, and says when no checkpoint is kept.
"""
