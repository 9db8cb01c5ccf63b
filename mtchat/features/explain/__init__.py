"""Answers and questions in words about a program."""
