"""The program alone, as a file of its language: program.py, or program.js for one in JavaScript."""

import tokenize
from dataclasses import replace

from mtchat.export.module import one_module
from mtchat.session.session import Session

SUFFIX = ""
ENCODED = "# -*- coding: utf-8 -*-"  # which the file is, whatever the one that it came from was


def write(session: Session) -> str:
    program = session.program
    if not session.language.runs:
        return program.source
    head, codes = one_module([chunk.code for chunk in program.chunks])
    chunks = (replace(chunk, code=code) for chunk, code in zip(program.chunks, codes, strict=True))
    text = "".join(f"{line}\n" for line in head) + replace(program, chunks=tuple(chunks)).source
    return f"{ENCODED}\n{text}" if any(map(tokenize.cookie_re.match, text.split("\n")[:2])) else text
