"""One completion as it comes."""

from mtchat.synthesis.policy import Policy

POLICY = Policy()
