"""A web page to read or print, in one file: each instruction with its code and what the code printed."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape

from mtchat.export.format import ExportedStep, Picture, escape_invisible, exported_steps
from mtchat.session.language import PYTHON
from mtchat.session.session import Session

SUFFIX = ".html"

STYLE = """\
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 sans-serif; color: #222; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1rem; color: #666; margin: 2rem 0 0; }
p { margin: .25rem 0 .5rem; white-space: pre-wrap; overflow-wrap: anywhere; }
pre { margin: .5rem 0; padding: .75rem; font: .875rem/1.45 monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; background: #f5f5f5; border-left: 3px solid #36c; }
img { display: block; max-width: 100%; margin: .5rem 0; }
pre.output { background: none; border-color: #aaa; }
.note { color: #a40; font-style: italic; }
@media print { body { margin: 0; max-width: none; } h2, p { break-after: avoid; } }
"""


def write(session: Session) -> str:
    return illustrate(session, ())


def illustrate(session: Session, pictures: Sequence[Picture]) -> str:
    title = escape(escape_invisible(session.name)) or "A program"
    kind = "code" if session.language == PYTHON else f"code language-{session.language.name}"
    body = [f"<h1>{title}</h1>"]
    if session.preamble.strip():
        body += ["<h2>Preamble</h2>", preformatted(kind, session.preamble)]
    for step in exported_steps(session):
        body += section(step, kind)
    if pictures:
        body += ["<h2>Pictures</h2>", *map(image_tag, pictures)]
    if session.outcome and session.outcome.error:
        body.append(f'<p class="note">{escape(escape_invisible(session.outcome.error))}</p>')
    return page(title, "\n".join(body))


def page(title: str, body: str) -> str:
    head = f'<meta charset="utf-8">\n<title>{title}</title>\n<style>\n{STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def section(step: ExportedStep, kind: str) -> list[str]:
    lines = [f"<h2>Turn {step.number}</h2>", f"<p>{escape(escape_invisible(step.turn.instruction))}</p>"]
    if step.note:
        lines.append(f'<p class="note">{step.note}</p>')
    if step.turn.chunk.strip():
        lines.append(preformatted(kind, step.turn.chunk))
    if step.output.strip():
        lines.append(preformatted("output", step.output))
    return lines


def image_tag(picture: Picture) -> str:
    """A picture in the page itself."""
    data = b64encode(picture.data).decode()
    return f'<img alt="{escape(escape_invisible(picture.name))}" src="data:{picture.kind};base64,{data}">'


def preformatted(kind: str, text: str) -> str:
    # the newline after <pre> is dropped by browsers, so that one at the start of the text is not
    return f'<pre class="{kind}">\n{escape(escape_invisible(text).rstrip())}</pre>'
