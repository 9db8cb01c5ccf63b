"""Detects questions: those that /explain answers (what, how and why) and all others.

An instruction must never be treated as a question, so what a program could answer is an instruction.
"""

import re

from mtchat.generate.execute import failed
from mtchat.session.names import bound_names
from mtchat.session.session import Session

LONGEST_QUESTION = 30  # words
LONGEST = 12  # of those that /explain answers
ANOTHER_SENTENCE = re.compile(r"[.!?;\n]\s+\S")
SENTENCES = re.compile(r"[.!?;:,\n]\s*\S")
NAME = r"`?(?P<name>[A-Za-z_]\w*)(?:\(\))?`?"
PLACE = r"(?:(?:turn|step) \d{1,9}|line \d{1,9}(?: of (?:turn|step) \d{1,9})?)"
PART = (
    r"(?:code|program|script|function|class|loop|line|turn|step|output|error(?: message)?|message|exception)"
)
KIND = r"(?:function|class|variable)"
SUBJECT = (
    rf"(?:{PLACE}|it|this|that|all (?:this|that)|(?:the|this|that|my)(?: last)? {PART}"
    rf"|(?:the )?(?:{KIND} )?{NAME}(?: {KIND})?)"
)
WHAT_IS = r"what(?:'?s| is)"
EXPLAIN = r"(?:please |(?:can|could) you (?:please )?)?explain(?: to me)?"
TELL = rf"(?:{EXPLAIN}|(?:please |(?:can|could) you (?:please )?)?tell me)"
ABOUT = (
    rf"(?:what|how) (?:do|does|did) {SUBJECT} (?:do|mean|work)(?: here| exactly)?",
    rf"{WHAT_IS} {SUBJECT} doing(?: here)?",
    rf"{EXPLAIN}(?: {SUBJECT})??(?: to me| again| please)?",
    rf"{TELL} (?:what|how) {SUBJECT} (?:does|did|means|works)(?: here| exactly| please)?",
    rf"(?:{WHAT_IS}|why is) (?:this|that)",
)
FAILURE = (
    rf"{WHAT_IS} (?:wrong(?: here| with {SUBJECT})?|the (?:error|problem|mistake))",
    rf"{WHAT_IS} (?:happening|going on|going wrong)(?: here)?",
    r"what (?:happened|happens|went wrong)(?: here)?",
    r"why (?:does|did) (?:it|this|that|turn \d{1,9}|the (?:program|code)) (?:fail|crash|break|not work)",
    r"why (?:doesn'?t|didn'?t) (?:it|this|that|the (?:program|code)) (?:work|run)",
)
BE, DO = r"(?:(?:is|are|was|were|has|have|had)(?:n'?t)?)", r"(?:(?:do|does|did)(?:n'?t)?)"
WHY = rf"why(?: (?:the|this|that|my) {PART}| (?P<verb>{BE}|{DO}) \S+(?P<rest>(?: .+)?))?"
DEMAND = re.compile(
    r"\b(?:(?:can|could|would|should|must|need|might|wo|sha)(?:not|n'?t|'t)?|will|shall|ought|want(?:s|ed)?"
    r"|need(?:s|ed)|expected|supposed|please|instead|rather|better|make|let|try|add|remove|delete|drop|fix"
    r"|change|replace)\b"
    r"|(?:n'?t (?:you|we)|\b(?:you|we) (?:not|never))\b",
    re.IGNORECASE,
)
ANOTHER = re.compile(
    r"(?<! when)(?<! if) (?:it|them|they|i|we|you)\b", re.IGNORECASE
)  # the start of a second sentence
DOING = re.compile(
    r"\b(?:print|show|display|sort|say|use|return|write|call|draw|plot|save|store|give|put|take|round"
    r"|convert|rename|filter|group|reverse|skip|ignore|compute|calculate)\b",
    re.IGNORECASE,
)
COMMON = re.compile(  # words of a "why" question that are not names
    r"why|do|does|did|don|is|are|was|were|has|have|had|an|the|this|that|it|its|i|my|me|you|we|not|no|so|there|here"
    r"|get|see|mean|work|code|program|script|function|loop|line|turn|step|output|error|result",
    re.IGNORECASE,
)
REQUEST = re.compile(r"(?:please|(?:can|could|would|will) you|(?:how|what) about)\b", re.IGNORECASE)
OPENS = re.compile(
    r"(?:how (?:do|can|should) (?:i|we|you)|where (?:is|are|do|does|did|can)|what does)\b", re.IGNORECASE
)
TURN, LINE = re.compile(r"\b(?:turn|step) (\d+)", re.IGNORECASE), re.compile(r"\bline (\d+)", re.IGNORECASE)
WORD = re.compile(r"\b(?!a [a-z])[A-Za-z_]\w*")  # but not the article


def is_question(text: str) -> bool:
    """Whether a text is one question, by its mark or its form, and not a request: can you sort it?"""
    text = text.strip()
    if REQUEST.match(text) or ANOTHER_SENTENCE.search(text) or len(text.split()) > LONGEST_QUESTION:
        return False
    return bool(text.endswith("?") or (OPENS.match(text) and not DEMAND.search(text)))


def explain_target(text: str, session: Session) -> str | None:
    """The argument for /explain if a text is a question about the program; None otherwise."""
    wish = text.replace("’", "'").strip().rstrip("?!. ")
    if not session.path or len(wish.split()) > LONGEST or SENTENCES.search(wish):
        return None
    fails = failed(session.outcome)
    for pattern in (*FAILURE, *ABOUT):
        if found := full_match(pattern, wish):
            name = found.groupdict().get("name") or ""
            if name and not origin(name, session):
                return None
            if fails and pattern in FAILURE:
                return "error"
            return explain_argument(wish, [name], session)
    return explain_argument(wish, possible_names(wish), session) if asks_why(wish) else None


def full_match(pattern: str, text: str) -> re.Match[str] | None:
    return re.fullmatch(pattern, text, re.IGNORECASE)


def asks_why(wish: str) -> bool:
    """Whether a text asks why and does not demand anything.

    It has no demanding word, no second sentence, and no verb for something to do except that of its subject.
    """
    found = full_match(WHY, wish)
    if found is None or DEMAND.search(wish):
        return False
    rest, does = found["rest"] or "", full_match(DO, found["verb"] or "") is not None
    return not ANOTHER.search(rest) and len(DOING.findall(rest)) <= does


def possible_names(wish: str) -> list[str]:
    """The words of a "why" question that may be names in the program."""
    return [word for word in WORD.findall(wish) if not COMMON.fullmatch(word)]


def explain_argument(wish: str, names: list[str], session: Session) -> str:
    """The argument of /explain for a question: "2", "2:3", "error", or "" for what happened last."""
    turn, line = TURN.search(wish), LINE.search(wish)
    number = turn[1] if turn else next(filter(None, (origin(name, session) for name in names)), "")
    outcome = session.outcome
    wrong = outcome.turn if outcome is not None and failed(outcome) else None
    if line:
        return f"{number or wrong or len(session.path)}:{line[1]}"
    return number or ("error" if failed(outcome) else "")


def origin(name: str, session: Session) -> str:
    """The number of the last turn that assigns a name; "" if none does."""
    turns = [number for number, turn in enumerate(session.path, start=1) if name in bound_names(turn.chunk)]
    return str(turns[-1]) if turns else ""
