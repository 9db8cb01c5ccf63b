"""Text for people: lists in a sentence, and control characters made visible.

Text of models, programs and session files is not trusted: characters that act on a terminal, or that
nobody can see, are escaped. Characters that join others stay: joiners inside words and emoji, the selector of
an emoji's colours, and the empty cells of a picture in braille.
"""

import re
from collections.abc import Sequence


def join_words(words: Sequence[str]) -> str:
    """The words as a list in a sentence: "a, b and c"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def quantity(count: int, noun: str) -> str:
    """A number of things: "1 turn", "3 entries"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"


CONTROLS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional overrides: text that reads as other text
    "\u2028\u2029\ud800-\udfff"
)
UNSEEN = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
WORDS = "\u0600-\u061b\u061d-\u06ff\u0750-\u077f\u08a0-\u08ff\u0900-\u0dff"  # Arabic to Sinhala
EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2100-\u214f\u2190-\u27bf\u2900-\u2bff\u3030\u303d\u3297\u3299"
    "\U0001f000-\U0001faff"
)
BRAILLE = "\u2801-\u28ff"
JOINED = re.compile(
    f"(?<=[{WORDS}])[\u200c\u200d](?=[{WORDS}])"
    f"|(?<=[{EMOJI}])\ufe0f?\u200d(?=[{EMOJI}])"
    f"|(?<=[{EMOJI}])\ufe0f|(?<=[0-9#*])\ufe0f(?=\u20e3)"
    f"|(?<=[{BRAILLE}])\u2800+|\u2800+(?=[{BRAILLE}])"
)
SIGNS = re.compile(f"{JOINED.pattern}|(?P<sign>[{CONTROLS}{UNSEEN}])")
NAMED = re.compile("⟦U\\+(10[0-9A-F]{4}|[0-9A-F]{4,5})⟧")
ODD = re.compile(f"[{CONTROLS}{UNSEEN}]")


def escape_controls(text: str) -> str:
    r"""The text with such signs as \x1b, \r, \u202e or \U000e0041; line ends of Windows become newlines."""
    text = text.replace("\r\n", "\n")
    return SIGNS.sub(escape_match, text) if ODD.search(text) else text


def escape_match(match: re.Match[str]) -> str:
    sign = match["sign"]
    if sign is None:
        return match[0]
    if sign == "\r":
        return "\\r"
    code = ord(sign)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def mask_controls(text: str) -> str:
    """The text with one sign in the place of each such sign, so that places in it stay what they are."""
    return SIGNS.sub(lambda match: match[0] if match["sign"] is None else "�", text)


def name_controls(text: str) -> str:
    """The text for an editor: the name of each such sign in its place, as ⟦U+001B⟧; `unnamed` undoes it."""
    text = NAMED.sub(lambda match: control_name("⟦") + match[0][1:], text)
    signs = SIGNS.sub(lambda match: match[0] if match["sign"] is None else control_name(match["sign"]), text)
    return signs.replace(control_name("\r") + "\n", "\r\n")


def restore_controls(text: str) -> str:
    return NAMED.sub(lambda match: chr(int(match[1], 16)), text)


def control_name(sign: str) -> str:
    return f"⟦U+{ord(sign):04X}⟧"
