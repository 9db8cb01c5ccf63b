"""What is done unless something else is asked for."""

from mtchat.synthesis.policy import Policy

POLICY = Policy()
