"""Recognises a question about the program, which /explain answers: what it does, how it works, why. Pure.

An instruction must never be taken for a question, so what a program could answer is an instruction.
"""

import re

from mtchat.core.names import bound
from mtchat.core.session import Session

LONGEST = 12  # words
SENTENCES = re.compile(r"[.!?;:,\n]\s*\S")
NAME = r"`?(?P<name>[A-Za-z_]\w*)(?:\(\))?`?"
PLACE = r"(?:(?:turn|step) \d{1,9}|line \d{1,9}(?: of (?:turn|step) \d{1,9})?)"
PART = r"(?:code|program|script|function|class|loop|line|turn|step|output|error|message|exception)"
SUBJECT = rf"(?:{PLACE}|it|this|that|all (?:this|that)|(?:the|this|that)(?: last)? {PART}|{NAME})"
ABOUT = (
    rf"(?:what|how) (?:do|does|did) {SUBJECT} (?:do|mean|work)(?: here| exactly)?",
    rf"what is {SUBJECT} doing(?: here)?",
    rf"(?:please |(?:can|could) you (?:please )?)?explain (?:to me )?{SUBJECT}(?: to me| again| please)?",
    r"(?:what|why) is (?:this|that)",
    r"why(?! not\b| (?:don'?t|do not|can'?t|cannot) (?:you|we|i)\b)(?: .+)?",
)
FAILURE = (
    r"what(?: is|'s) (?:wrong|the (?:error|problem|mistake)|(?:happening|going on|going wrong)(?: here)?)",
    r"what (?:happened|went wrong)",
    r"why (?:does|did) (?:it|this|that|turn \d{1,9}|the (?:program|code)) (?:fail|crash|break|not work)",
    r"why (?:doesn't|didn't) (?:it|this|that|the (?:program|code)) (?:work|run)",
)
LIKELY = re.compile(
    r"(?:is|are|was|does|do|did|has|what|how|which|where|who|when)\b.*"
    r"\b(?:it|this|that|program|code|output|error|result)\b.*\?",
    re.IGNORECASE,
)
TURN, LINE = re.compile(r"\b(?:turn|step) (\d+)", re.IGNORECASE), re.compile(r"\bline (\d+)", re.IGNORECASE)
WORD = re.compile(r"\b(?!a [a-z])[A-Za-z_]\w*")  # and not the article


def asked(text: str, session: Session) -> str | None:
    """What /explain is to explain where a text is a question about the program; None for all else."""
    wish = text.strip().rstrip("?!. ")
    if not session.path or len(wish.split()) > LONGEST or SENTENCES.search(wish):
        return None
    if any(matches(pattern, wish) for pattern in FAILURE):
        return "error" if session.outcome is not None and session.outcome.error else ""
    found = next(filter(None, (matches(pattern, wish) for pattern in ABOUT)), None)
    if found is None or (found.groupdict().get("name") and not home(found["name"], session)):
        return None
    return place(wish, session)


def likely(text: str) -> bool:
    """Whether a text may be a question about the program, though it can be an instruction just as well."""
    return len(text.split()) <= LONGEST and LIKELY.fullmatch(text.strip()) is not None


def matches(pattern: str, text: str) -> re.Match[str] | None:
    return re.fullmatch(pattern, text, re.IGNORECASE)


def place(wish: str, session: Session) -> str:
    """The turn that a question is about, as /explain takes it: "2", "2:3", "" for what happened last."""
    turn, line = TURN.search(wish), LINE.search(wish)
    number = turn[1] if turn else next(filter(None, (home(word, session) for word in WORD.findall(wish))), "")
    return f"{number or len(session.path)}:{line[1]}" if line else number


def home(name: str, session: Session) -> str:
    """The number of the last turn that gives a name something; "" where none does."""
    turns = [number for number, turn in enumerate(session.path, start=1) if name in bound(turn.chunk)]
    return str(turns[-1]) if turns else ""
