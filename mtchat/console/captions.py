"""Short texts about sessions, turns, files and moments, which several commands show."""

import shlex
from datetime import datetime
from pathlib import Path

from mtchat.session.outcome import File
from mtchat.session.program import AttachedFile
from mtchat.session.prompt import ALWAYS, UNTRAINED, ModelCard, Usage
from mtchat.session.provenance import Fill
from mtchat.session.session import Session
from mtchat.session.settings import AUTO, OFF, ON, thought_budget
from mtchat.session.text import quantity
from mtchat.session.turn import EDITED, INTERRUPTED, KEPT, Turn

MARKS = {INTERRUPTED: " (interrupted)", EDITED: " (edited)", KEPT: ""}
MOST_BYTES = 2**60


def one_line(instruction: str, width: int = 70) -> str:
    """An instruction on one line of at most `width` characters; " / " stands for its line ends."""
    text = " / ".join(" ".join(line.split()) for line in instruction.split("\n") if line.strip())
    return text if len(text) <= width else text[: width - 1] + "…"


def describe_day(moment: datetime, now: datetime | None = None) -> str:
    """The day of a moment: "today", "yesterday" or "on 2026-01-31"."""
    here = moment.astimezone()
    days = ((now or datetime.now().astimezone()).date() - here.date()).days
    return {0: "today", 1: "yesterday"}.get(days, f"on {here.date().isoformat()}")


def describe_position(session: Session) -> str:
    """Which turn is now the last one."""
    path = session.path
    return (
        f"now at turn {len(path)}: {one_line(path[-1].instruction_as_typed)}"
        if path
        else "now at the start: no turns"
    )


def status_sign(session: Session, turn: Turn) -> str:
    """How a turn went, as one character."""
    if turn.status == INTERRUPTED:
        return "■"
    return {True: "✓", False: "✗", None: "·"}[session.turn_succeeded(turn.id)]


def branch_labels(session: Session, turn: str) -> str:
    """The branches that end at a turn, in brackets; "" if none does."""
    found = [name for name, end in session.branches.items() if end == turn]
    return f"  [{', '.join(found)}]" if found else ""


def context_label(session: Session, turn: Turn) -> str:
    """In brackets, whether the model sees a turn only folded or not at all; "" if it sees all of it."""
    context = session.options_of(turn.id).context
    return f"  ({context})" if context else ""


def turn_mark(turn: Turn) -> str:
    """What follows an instruction: that the turn was interrupted, or edited by the user."""
    if isinstance(turn.provenance, Fill):
        return f" (edited; {turn.provenance.by} filled its holes)"
    return MARKS.get(turn.status, "")


def explain_not_run(session: Session, shell: bool = False) -> str:
    """Why a session in a language other than Python is not run, and what to do with it."""
    spoken = session.language
    file = f"{session.name or 'program'}{spoken.suffix}"
    way = f"mtchat export {shlex.quote(session.name)} -o {shlex.quote(file)}" if shell else "/export code"
    return f"only Python can be run, and this session is in {spoken.title}; {way} writes {file}"


def describe_prefill(usage: Usage) -> str:
    return f"reading {usage.prompt_tokens} prompt tokens ({usage.cached_tokens} cached)"


def describe_time(usage: Usage) -> str:
    """How long a turn took to write; "" if the model wrote nothing."""
    seconds = usage.prefill_seconds + usage.decode_seconds
    written = f"written in {seconds:.1f} s" if usage.completion_tokens else ""
    return ", after ".join(filter(None, [written, describe_thought(usage)]))


def describe_think(setting: str, card: ModelCard) -> str:
    """What the setting `think` means for a model that does not take it as a matter of course; or ""."""
    budget = thought_budget(setting, card)
    if setting == OFF and card.thinks == ALWAYS:
        return f"{card.name} was made to think before each reply; without thoughts its code may be worse"
    if not card.thinks and setting not in (OFF, AUTO):
        return f"{card.name} cannot think: it has no chat template, or comes from another package"
    if budget and card.thinks == UNTRAINED:
        return f"{card.name} was not trained to think; it writes its thoughts in <think> tags"
    if setting == ON and not budget:
        return f"{card.name} was not trained to think and writes code directly; /set think 512 overrides that"
    return ""


def describe_thought(usage: Usage) -> str:
    """What the thought before the code cost; "" if there was none."""
    if not usage.thought_tokens:
        return ""
    return f"{quantity(usage.thought_tokens, 'token')} of thought in {usage.thought_seconds:.1f} s"


def describe_cost(usage: Usage) -> str:
    """What a turn cost: its tokens, their rate, prompt tokens and how many of those were cached."""
    rate = usage.completion_tokens / usage.decode_seconds if usage.decode_seconds else 0.0
    seconds = usage.prefill_seconds + usage.decode_seconds
    thought = f"{describe_thought(usage)}, then " if usage.thought_tokens else ""
    return (
        f"{thought}{usage.completion_tokens} tokens in {seconds:.1f} s ({rate:.1f} tokens/s); "
        f"{usage.prompt_tokens} prompt tokens ({usage.cached_tokens} cached)"
    )


def describe_size(file: File | AttachedFile) -> str:
    """The size of a file in a readable unit; a session file may hold any number."""
    if file.size < 1024:
        return f"{file.size} bytes" if file.size >= 0 else "of unknown size"
    if file.size >= MOST_BYTES:
        return "1 EiB or more"
    kib = (file.size + 512) // 1024
    return f"{kib} KiB" if kib < 10 * 1024 else f"{(kib + 512) // 1024} MiB"


def short_path(path: Path) -> str:
    """A path relative to the current folder, if it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def step_name(turn: Turn) -> str:
    """The step that made a turn: its instruction, or the correction that it ends with."""
    correction = turn.instruction.rpartition("\n")[2]
    return f"correction: {one_line(correction)}" if turn.corrects else one_line(turn.instruction_as_typed)
