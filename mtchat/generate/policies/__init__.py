"""How turns are made better, one policy a file; `synthesis.policy` says what a policy is made of."""
