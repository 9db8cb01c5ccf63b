"""Repairs that need no model: imports, names, indentation, a cut tail."""

from mtchat.synthesis.policy import Policy

POLICY = Policy(rules=True)
