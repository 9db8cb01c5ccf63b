"""A program that fails is written once more as a whole, from all instructions."""

from mtchat.synthesis.policy import Policy

POLICY = Policy(afresh=1)
