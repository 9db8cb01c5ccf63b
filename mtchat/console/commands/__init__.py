"""Slash commands by subject: each file lists records of `Command` in a tuple COMMANDS.

The commands of a feature are in the feature's own folder, in its file commands.py.
"""
