"""The program in capitals, for plays that are read aloud."""

from mtchat import Session

SUFFIX = ".shout"


def write(session: Session) -> str:
    return session.program.source.upper()
