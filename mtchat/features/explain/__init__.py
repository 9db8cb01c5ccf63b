"""Explanations of code and errors, answers to questions about the program, and a tutor."""
