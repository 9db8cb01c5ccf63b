"""Worked examples of turns go before the conversation."""

from mtchat.generate.policy import Policy

POLICY = Policy(guidance=("examples",))
