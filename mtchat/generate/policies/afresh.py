"""A program that fails is written once more as a whole, from all instructions."""

from mtchat.generate.policy import Policy

POLICY = Policy(afresh=1)
