"""Worked examples of turns go before the conversation."""

from mtchat.synthesis.policy import Policy

POLICY = Policy(guidance=("examples",))
