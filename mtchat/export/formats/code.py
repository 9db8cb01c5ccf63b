"""The program alone, as a file of its language: program.py, or program.js for one in JavaScript."""

from dataclasses import replace

from mtchat.core.session import Session
from mtchat.export.whole import whole

SUFFIX = ""


def write(session: Session) -> str:
    program = session.program
    if not session.language.runs:
        return program.source
    head, codes = whole([chunk.code for chunk in program.chunks])
    chunks = (replace(chunk, code=code) for chunk, code in zip(program.chunks, codes, strict=True))
    return "".join(f"{line}\n" for line in head) + replace(program, chunks=tuple(chunks)).source
