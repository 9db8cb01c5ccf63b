"""What is done unless something else is asked for: the first try, and more where that is in doubt."""

from mtchat.generate.policy import Policy

POLICY = Policy(guidance=("examples",), rules=True, samples=6, doubt=-0.08, rounds=1)
