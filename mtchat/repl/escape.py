"""Shows terminal control characters instead of sending them: text of models and programs is not trusted."""

import re

CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional overrides: text that reads as other text
    "\u2028\u2029\ud800-\udfff]"
)


def escaped(text: str) -> str:
    r"""The text with its control characters as \x1b, \r or \u202e; line ends of Windows become newlines."""
    return CONTROLS.sub(visible, text.replace("\r\n", "\n"))


def visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\r":
        return "\\r"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
