"""Code in colours of the terminal's own palette, so that they suit dark and light backgrounds."""

from pygments import highlight
from pygments.formatters.terminal256 import Terminal256Formatter
from pygments.lexers import get_lexer_by_name
from pygments.style import Style
from pygments.token import Comment, Keyword, Name, Number, Operator, String, Token


class Palette(Style):
    """Sixteen-colour style: what the user's theme calls blue is blue."""

    styles = {  # noqa: RUF012 - the base class declares it so
        Token: "",
        Comment: "ansibrightblack",
        Keyword: "ansiblue",
        Operator.Word: "ansiblue",
        Name.Builtin: "ansicyan",
        Name.Function: "ansiyellow",
        Name.Class: "ansiyellow",
        Name.Decorator: "ansimagenta",
        Name.Exception: "ansired",
        Name.Namespace: "",
        String: "ansigreen",
        String.Interpol: "ansimagenta",
        Number: "ansimagenta",
    }


def lines(code: str, language: str = "python", *, color: bool) -> list[str]:
    """The lines of some code, each coloured by itself, so that they can be printed one by one."""
    if not color:
        return code.split("\n")
    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    return highlight(code, lexer, Terminal256Formatter(style=Palette)).split("\n")
