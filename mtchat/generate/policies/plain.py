"""One completion as it comes."""

from mtchat.generate.policy import Policy

POLICY = Policy()
