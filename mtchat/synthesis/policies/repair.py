"""The model is shown an error and mends it, at most twice."""

from mtchat.synthesis.policy import Policy

POLICY = Policy(rounds=2)
