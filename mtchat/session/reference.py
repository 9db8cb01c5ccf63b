"""What an instruction refers to in braces: {run}, {err}, {err 3}, {out 2} and {code 2}.

All other braces are the user's own, and so are these in an f-string or doubled: {{run}} says {run}.
"""

import re
from dataclasses import dataclass

from mtchat.errors import MtchatError
from mtchat.session.outcome import Outcome, output_by_turn
from mtchat.session.session import Session

MOST = 1500  # characters that take the place of a reference
CUT = "… [{} characters left out] …"
REFERENCE = re.compile(
    r"""(?P<string>\b(?:f|fr|rf)(?P<quote>\"{3}|'{3}|["'])(?:\\.|(?!(?P=quote)).)*(?P=quote))
      | \{(?P<doubled>\{(?:run|err(?:[ ]+\d+)?|(?:out|code)[ ]+\d+)\})\}
      | \{(?P<what>run|err|out|code)(?:[ ]+(?P<turn>\d{1,9}))?\}""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class ResolvedInstruction:
    """An instruction with what it refers to in its place; `typed` is as it was typed, "" where that is it."""

    text: str
    typed: str = ""


def resolve_references(
    instruction: str, session: Session, last: Outcome | None = None
) -> ResolvedInstruction:
    """The instruction for the model; an error says what a reference has nothing to refer to.

    `last` is the last run, where that is not what the live program last did.
    """
    text = REFERENCE.sub(
        lambda match: resolve_reference(match, session, last or session.outcome), instruction
    )
    return ResolvedInstruction(text, "" if text == instruction else instruction)


def resolve_reference(match: re.Match[str], session: Session, last: Outcome | None) -> str:
    """What takes the place of a reference; what is none stays."""
    if match["doubled"]:
        return match["doubled"]
    what = (match["what"] or "").lower()
    number = int(match["turn"]) if match["turn"] else None
    match what, number:
        case "run", None:
            return shorten_middle(require_run(last))
        case "err", None:
            return shorten_middle(describe_error(session.outcome or last, "the program's last run"))
        case "err", int():
            return shorten_middle(error_of(session, number))
        case "out", int():
            return shorten_middle(output_of(session, number))
        case "code", int():
            return shorten_middle(code_of(session, number))
    return match[0]


def shorten_middle(text: str, most: int = MOST) -> str:
    """A text of at most so many characters, its middle left out where it has more."""
    text = text.strip("\n")
    if len(text) <= most:
        return text
    begin = most * 2 // 3
    end = most - begin
    return text[:begin] + CUT.format(len(text) - most) + text[-end:]


def require_run(last: Outcome | None) -> str:
    if last is None:
        raise MtchatError(
            "{run} is what the last run printed, but nothing has run yet; /run runs the program"
        )
    if not last.stdout.strip():
        raise MtchatError("{run} is what the last run printed, but it printed nothing")
    return last.stdout


def describe_error(outcome: Outcome | None, run: str) -> str:
    """How a run failed, with the line of the program where it did; else what does not hold of its checks."""
    if outcome is None:
        raise MtchatError("{err} is how the program fails, but it has not run yet; /run runs it")
    if outcome.error:
        line = outcome.frames[-1].text.strip() if outcome.frames else ""
        return f"{outcome.error}, at: {line}" if line else outcome.error
    if outcome.failed_checks:
        return "; ".join(each.sentence for each in outcome.failed_checks)
    raise MtchatError(f"{{err}} is how the program fails, but {run} had no error")


def error_of(session: Session, number: int) -> str:
    """How turn `number` fails: in the live program, or when the program was run up to it."""
    turn = session.turn_at(number)
    live = session.outcome
    if live is not None and live.error and live.turn == number:
        return describe_error(live, "")
    own = session.outcomes.get(turn.id)
    if own is None and live is not None and live.ok:
        own = live
    return describe_error(own, f"the last run of turn {number}")


def output_of(session: Session, number: int) -> str:
    turn = session.turn_at(number)
    runs = (
        (session.program, session.outcome),
        (session.move(turn.id).program, session.outcomes.get(turn.id)),
    )
    for program, outcome in runs:
        told = output_by_turn(program, outcome) if outcome else {}
        if number in told:
            if not told[number].strip():
                raise MtchatError(f"{{out {number}}} is what turn {number} printed, but it printed nothing")
            return told[number]
    raise MtchatError(f"{{out {number}}} is what turn {number} printed, but it has not run; /run runs it")


def code_of(session: Session, number: int) -> str:
    turn = session.turn_at(number)
    if not turn.chunk.strip():
        raise MtchatError(f"{{code {number}}} is the code of turn {number}, but it has none")
    return turn.chunk
