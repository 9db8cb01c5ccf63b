"""Several candidates are run, and what most of them do is taken."""

from mtchat.generate.policy import Policy

POLICY = Policy(samples=7)
