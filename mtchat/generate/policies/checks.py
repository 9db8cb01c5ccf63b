"""Candidates for a function are compared by calls that the model makes up."""

from mtchat.generate.policy import Policy

POLICY = Policy(samples=7, checks=5)
