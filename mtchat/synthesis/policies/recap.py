"""All instructions so far are said again with the last one."""

from mtchat.synthesis.policy import Policy

POLICY = Policy(guidance=("recap",))
