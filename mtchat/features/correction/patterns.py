"""Patterns for the words by which an instruction shows that it corrects earlier code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class LazyPattern:
    """A pattern that is compiled on first use, so that the prompt appears without delay."""

    text: str
    flags: re.RegexFlag = re.IGNORECASE

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        return re.compile(self.text, self.flags)

    def match(self, text: str) -> re.Match[str] | None:
        return self.compiled.match(text)

    def search(self, text: str) -> re.Match[str] | None:
        return self.compiled.search(text)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        return self.compiled.finditer(text)

    def sub(self, by: str, text: str) -> str:
        return self.compiled.sub(by, text)


def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


NAME = r"[`\"']?(?P<{}>[A-Za-z_]\w*)(?:\(\))?[`\"']?"
COURTESY = LazyPattern(
    r"^(?:(?:please|ok(?:ay)?(?! should)|and|but|so|well|hmm+|now|thanks|great|can you|could you|would you"
    r"|you can|let'?s)\b"
    r"[\s,;:.!—-]*)+"
)
REFUSAL = LazyPattern(
    r"^(?:no|nope|nah|wrong|not quite|oops|sorry|wait|hold on|stop)\s*(?:[,.:;!—]|-\s)\s*(?:no\b\W*)?"
    r"|^(?:no that'?s|actually\b(?!\s+(?:also|then|next))|rather\b)\s*[,:]?\s*"
    r"|^(?:that|this|it)(?:'s| is| was) (?:wrong|incorrect|not (?:right|correct|it|what))\b[^,.:;]*[,.:;]?\s*"
    r"|^not (?:like )?(?:that|this)\b\W*"
)
MEANT = LazyPattern(
    r"^(?:what )?i (?:meant|mean|intended|said|asked for|wanted|would rather|would prefer|prefer)\b"
    r"|^i'd (?:rather|prefer)\b|^i (?:want|need|would like) (?:it|that|this|them)\b"
    r"|^you (?:forgot|missed|should(?:n'?t)?|used|swapped|mixed|misspelled|made)\b"
)
SUBJECT = (
    r"(?P<subject>it|this|that|they|these|those|them|(?:the|its) (?:[\w'-]+ ){{0,2}}?[\w'-]+|{})".format(
        r"`?[A-Za-z_]\w*`?(?:\(\))?"
    )
)
SHOULD = LazyPattern(
    rf"^{SUBJECT} (?:(?:also|still|only|always|now|really) )?"
    r"(?:should(?:n'?t)?|must(?:n'?t)?|needs? to|has to|have to|ought to|may not|can'?t|(?:is"
    r"|are) supposed to"
    r"|shall)\b"
)
FAULT = LazyPattern(
    rf"^{SUBJECT}(?:'s| is| are| was) (?:still )?(?:wrong|incorrect|not right|missing|too \w+|off by"
    rf"|backwards)\b"
)
MAKE = LazyPattern(rf"^(?:make|let|have|get) {SUBJECT}\s+(?P<rest>.+)$")
NEW_THING = LazyPattern(r"^(?:that|which|who|named|called|of|from|containing|for|where|whose|by|=)\b")
PLACED = LazyPattern(
    r"^(?:in|for|at) (?:turn|step|instruction) \d+\b|^(?:turn|step|instruction) \d+ (?:should|must"
    r"|needs|is|has)\b"
    r"|^(?:change|rewrite|redo|correct) (?:turn|step|instruction) \d+\b|\bi meant\b"
)
CREATE = LazyPattern(
    r"(?:^|: )(?:(?:now|then|next|also|finally|first)\b,?\s*)*(?:add|write|create|define|implement"
    r"|build|generate|make|"
    r"give me|read|load|import|declare|start)\s+(?:me\s+)?(?:a|an|another|new|one more|two|three|some)\b"
)
INSTEAD = LazyPattern(r"^instead\b|\binstead(?:$|[,.;:]| of\b)|\brather than\b")
ASKED = LazyPattern(r"^(?:please )?(?:can|could|would) you\b")
SHOWN = LazyPattern(r"\b(?:should|must|needs? to) be (?:printed|shown|stored|saved|written|plotted)\b")
INTO = LazyPattern(r"^(?:also )?(?:add|give) .+ to (?:the class )?(?P<name>[A-Za-z_]\w*)$", re.NOFLAG)
CHANGE = LazyPattern(
    rf"^(?:change|switch|alter|modify|adjust|update) {SUBJECT}(?P<rest>\s+(?:to|into|so|from|with|such"
    rf"|by)\b.*)$"
)
LITERALS = LazyPattern(
    r"^(?:change|replace|switch)\s+(?:the\s+)?(?P<old>\"[^\"]*\"|'[^']*'|-?\d+(?:\.\d+)?)\s+(?:to"
    r"|with|by|into)\s"
)
REWRITE = LazyPattern(
    rf"^(?:rewrite|refactor|simplify|shorten|optimi[sz]e|speed up|fix|correct|improve|clean up|redo"
    rf"|document) {SUBJECT}"
)
TURN_INTO = LazyPattern(
    rf"^(?:turn|convert|transform|wrap|put|move) {SUBJECT} (?:in)?to\s+(?P<what>(?:[\w-]+\s*){{1,3}})"
)
REPLACE = LazyPattern(
    r"^(?:replace|swap) (?:the |all )?(?P<old>[\w`'-]+(?: [\w'-]+)?) (?:with|by|for)\b|^swap the "
    r"(?:order|arguments|parameters|operands)\b"
)
BEHAVE = LazyPattern(
    r"^(?:(?P<also>also|and also|it should|do) )?(?:also )?(?P<verb>handle|support|accept|allow"
    r"|ignore|treat|include|"
    r"exclude|tolerate|preserve|respect|skip|return|raise|reject|validate|keep|cope with|deal with"
    r"|work with|count|"
    r"check for|guard against|cache|memoi[sz]e|strip|sort|stop)\b(?! it\b)"
)
SURE = {"handle", "support", "accept", "allow", "ignore", "tolerate", "respect", "return", "raise", "reject"}
SURE |= {"cope with", "deal with", "guard against", "treat", "preserve", "cache", "memoize", "memoise"}
INNER = word_set("strip keep skip include exclude validate")  # things that only existing code can do more of
TOO = LazyPattern(r"\b(?:too|as well)[.!]?$|^(?:and )?also\b")
NEGATED = LazyPattern(r"^(?:don'?t|do not|never(?! mind)|no longer|no need to|no more|stop \w+ing)\b")
REMOVE = LazyPattern(
    r"^(?:remove|drop|delete|get rid of|leave out|omit|take out|strip)\s+(?:the |all |that |those "
    r"|any |its )?(?P<what>.+)$"
)
CODE_PARTS = word_set(
    """
    greeting title label text format sorting separator prefix suffix border
    print prints docstring docstrings comment comments parameter argument default loop function class
    import imports check header output prompt hints hint annotations method statement line debug if else
    try except condition message exclamation brackets quotes semicolon decorator lambda comprehension
    return round comma colon period dot dash rounding constant variable newline call recursion code
    f-string f-strings while
    """
)
# properties of the code, not of its data
PROPERTIES = word_set("range limit threshold order size step maximum minimum wording sign unit units speed")
DATA = word_set(
    """
    string list array number numbers word words text column row columns rows dataframe dictionary dict
    set tuple element elements item items letter letters character characters key keys value values file
    data index sentence first last digits entries entry integers variable matrix folder directory sheet
    """
)
STRUCTURES = word_set(
    """
    function class method generator comprehension loop lambda dataclass decorator constant recursion
    namedtuple module property expression one-liner enum iterator
    """
)
ADD = LazyPattern(
    r"^(?:also )?(?:add|give (?:it|them|that|the \w+|[a-z_]\w*)|put|include|insert)\s+(?:a |an |the "
    r"|some |more |its )?"
    r"(?:\w+ )??(?P<what>docstrings?|type hints?|(?:type )?annotations?|comments?|defaults?|parameter"
    r"|argument|method|"
    r"error handling|validation|guard|check|caching|memoi[sz]ation|__\w+__|property|attribute|field)\b"
)
USE = LazyPattern(r"^(?:just |simply |better )?(?:use|print with|go with|take) (?P<what>.+)$")
PURPOSE = LazyPattern(r"\b(?:to|and|then)\s+[a-z]+|\bon the\b")
FRAGMENT = LazyPattern(
    r"^(?:(?:only|just) (?!print|show|the (?:first|last) \w+ of)|without |with (?!open|the \w+ open)"
    r"|as an? |not |"
    r"in (?:descending|ascending|reverse|reversed|alphabetical|upper|lower|title|capital|one|a single"
    r"|celsius|"
    r"percent|euros?|dollars?|seconds|minutes|kilo\w*)|sorted|rounded|separated|case[- ](?:in)?sensitive|"
    r"(?:up)?to \w+ decimals?|up to|starting (?:at|from|with)|"
    r"(?:one|two|three|four|\d+) (?:decimals?|digits|decimal places)|one per line|one line"
    r"|upper ?case$|lower ?case$|"
    r"but |except |excluding |including |from \S+ to |descending|ascending|recursively|inclusive|exclusive|"
    r"(?:more|less|fewer|shorter|longer|simpler|faster|louder|bigger|smaller) ?)"
)
VERB = LazyPattern(
    r"\b(?:print|show|compute|calculate|write|create|define|add|find|read|load|plot|sort|count"
    r"|convert|store|save|"
    r"assign|get|open|import|call|build|generate|remove|split|join|draw|filter|loop|iterate)\b"
)
STEP = LazyPattern(
    rf"(?:(?:please|now|then|next|also|and|finally)\b,?\s+)*(?:{VERB.text}|(?:set|make|use|return|replace|change"
    r"|rename|delete|reverse|multiply|divide|subtract|sum|append|insert|ask|test|train|fit|predict|compare|check"
    r"|run|repeat|try|fix|round|format)\b)"
)
ROUND = LazyPattern(
    r"^(?:round|format|limit|align|indent|capitali[sz]e|pad) (?:it|that|them|the (?:result|output"
    r"|average|mean|price|total|value))\b"
)
RENAMES = (
    LazyPattern(
        r"^rename (?:the )?(?:(?:variable|function|method|class|parameter|argument|attribute|constant"
        r"|name) )?"
        rf"(?:called |named )?{NAME.format('old')} (?:to|as|into|->"
        rf"|=>) (?:be )?(?:the name )?{NAME.format('new')}$"
    ),
    LazyPattern(
        r"^(?:call|name) (?:the )?(?:(?:variable|function|method|class|parameter|argument|constant) )?"
        rf"{NAME.format('old')} {NAME.format('new')}(?: instead| please| from now on)?$"
    ),
    LazyPattern(
        r"^(?:call|name) (?:it|them|that|this|the (?:variable|function|class|result)) "
        rf"{NAME.format('new')} instead of {NAME.format('old')}$"
    ),
    LazyPattern(
        r"^change the (?:(?:variable|function|class|method|parameter) )?name (?:of (?:the )?"
        rf"(?:(?:variable|function|class|method|parameter) )?)?{NAME.format('old')} (?:to"
        rf"|into) {NAME.format('new')}$"
    ),
    LazyPattern(
        r"^(?:the )?(?:(?:variable|function|class|method|parameter) )?"
        rf"{NAME.format('old')} should (?:rather )?be (?:called|named"
        rf"|renamed to) {NAME.format('new')}(?: instead)?$"
    ),
    LazyPattern(
        rf"^use (?:the name )?{NAME.format('new')} (?:as the name )?instead of "
        rf"(?:the name )?{NAME.format('old')}$"
    ),
)
CALL_IT = LazyPattern(
    r"^(?:(?:call|name|rename) (?:it|this|that|them|the (?P<kind>variable|function|class|result"
    r"|list))(?: to| as)?"
    r"|(?:it|(?:the|this|that) (?P<sort>variable|function|class|result"
    r"|list)) should (?:rather )?be (?:called|named)) "
    rf"{NAME.format('new')}(?: instead| please)?$"
)
ADVERBS = {
    "twice",
    "again",
    "now",
    "once",
    "thrice",
    "here",
    "first",
    "later",
    "recursively",
    "there",
    "too",
    "with",
}
PRONOUNS = {"it", "this", "that", "they", "these", "those", "them"}
QUESTION = LazyPattern(r"\?$|^(?:why|what|how|who|when|where|which|is it|does it|are|explain)\b")
