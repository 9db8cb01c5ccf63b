"""The program alone, as a file of its language: program.py, or program.js for one in JavaScript."""

from mtchat.core.session import Session

SUFFIX = ""


def write(session: Session) -> str:
    return session.program.source
