"""The model is shown an error and mends it, at most twice."""

from mtchat.generate.policy import Policy

POLICY = Policy(rounds=2)
