"""Repairs that need no model: imports, names, indentation, a cut tail."""

from mtchat.generate.policy import Policy

POLICY = Policy(rules=True)
