"""Detects questions: those about the program (what, how and why) and all others.

An instruction must never be treated as a question, so what a program could answer is an instruction.
"""

import re

from mtchat.session.names import bound_names
from mtchat.session.session import Session

LONGEST_QUESTION = 30  # words
LONGEST = 12  # of those about the program
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
REQUEST = re.compile(r"(?:please|(?:can|could|would|will) you|(?:how|what) about)\b", re.IGNORECASE)
OPENS = re.compile(
    r"(?:how (?:do|can|should) (?:i|we|you)|where (?:is|are|do|does|did|can)|what does)\b", re.IGNORECASE
)


def is_question(text: str) -> bool:
    """Whether a text is one question, by its mark or its form, and not a request: can you sort it?"""
    text = text.strip()
    if REQUEST.match(text) or ANOTHER_SENTENCE.search(text) or len(text.split()) > LONGEST_QUESTION:
        return False
    return bool(text.endswith("?") or (OPENS.match(text) and not DEMAND.search(text)))


def asks_about_program(text: str, session: Session) -> bool:
    """Whether a text, even without its mark, is a question about the program."""
    wish = text.replace("’", "'").strip().rstrip("?!. ")
    if not session.path or len(wish.split()) > LONGEST or SENTENCES.search(wish):
        return False
    for pattern in (*FAILURE, *ABOUT):
        if found := full_match(pattern, wish):
            name = found.groupdict().get("name") or ""
            return not name or name in bound_names(session.program.source)
    return asks_why(wish)


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
