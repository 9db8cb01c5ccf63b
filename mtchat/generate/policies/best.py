"""Whatever helps, however long it takes."""

from mtchat.generate.policy import Policy

POLICY = Policy(guidance=("examples",), rules=True, samples=7, afresh=5, rounds=1)
