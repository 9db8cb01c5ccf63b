"""mtchat replay: runs a session's program again, or regenerates its turns, and compares with the record."""

import argparse
import difflib
import sys
from collections.abc import Iterator
from dataclasses import astuple
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from mtchat import store
from mtchat.cli import wiring
from mtchat.console.captions import explain_not_run
from mtchat.console.view import View
from mtchat.conversation.conversation import Conversation, was_written_by
from mtchat.errors import ExitCode, MtchatError, UsageError
from mtchat.generate.events import Event, Notice
from mtchat.generate.execute import never_ended
from mtchat.models import loader
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.outcome import Outcome, output_by_turn
from mtchat.session.session import Session
from mtchat.session.settings import OFF, Sampling, Settings
from mtchat.store.events import limit_streams

LONGEST_SECONDS = 300.0

T = TypeVar("T")


def replay(args: argparse.Namespace) -> int:
    """Show each turn with the output of a new run; fail if the run differs from the recorded one."""
    path = store.find(args.session, store.folder(args.sessions))
    session = store.load(path)
    if not session.path:
        raise MtchatError(f"{session.name} has no turns")
    if not args.verify and not session.language.runs:
        raise UsageError(
            f"nothing to run: {explain_not_run(session, shell=True)}; --verify regenerates its turns"
        )
    return verify(session, args) if args.verify else replay_session(path, session, args)


def replay_session(path: Path, session: Session, args: argparse.Namespace) -> int:
    view = View.of(sys.stdout)
    sandbox, owned = Sandbox(args.unsafe), wiring.owned_files()
    View.of(sys.stderr).warning(sandbox.warning())
    session, notices = store.recheck_files(session, lambda file: owned.has(path, file))
    for notice in notices:
        View.of(sys.stderr).note(notice)
    no_model = loader.model_loader().get("")  # which is not loaded, as none is asked
    chat = Conversation(no_model, sandbox, settings=Settings(seconds=LONGEST_SECONDS))
    chat.keep(session)
    outcome = chat.run_whole()
    outputs = output_by_turn(session.program, outcome)
    for number, turn in enumerate(session.path, start=1):
        view.turn(number, turn)
        view.output(outputs.get(number, ""))
    view.verdict(outcome)
    view.files(outcome, "")
    recorded = session.outcome
    changes = (
        []
        if recorded is None or never_ended(recorded)
        else list(run_differences(recorded, limit_streams(outcome)))
    )
    for line in changes:
        view.error(line)
    return ExitCode.FAILED if changes else ExitCode.DONE


def run_differences(recorded: Outcome, now: Outcome) -> Iterator[str]:
    """How a run differs from the recorded one, line by line; times and sizes are ignored."""
    if recorded.ok != now.ok or recorded.error != now.error:
        yield f"recorded: {recorded.error or 'ran'}; now: {now.error or 'ran'}"
    if recorded.stdout != now.stdout:
        yield from diff_lines(recorded.stdout, now.stdout, "recorded output", "output now")
    names = [[file.path for file in outcome.files] for outcome in (recorded, now)]
    if names[0] != names[1]:
        yield f"recorded files: {', '.join(names[0]) or 'none'}; now: {', '.join(names[1]) or 'none'}"


def diff_lines(old: str, new: str, old_name: str, new_name: str) -> list[str]:
    return list(difflib.unified_diff(old.splitlines(), new.splitlines(), old_name, new_name, lineterm=""))


def verify(session: Session, args: argparse.Namespace) -> int:
    """Regenerate every turn from its seed; show a diff for each that differs."""
    view = View.of(sys.stdout)
    written = [turn for turn in session.path if turn.provenance.model]
    if not written:
        raise MtchatError(f"no turn of {session.name} was written by a model, so there is nothing to verify")
    first = written[0].provenance
    model = loader.model_loader(first.precision or "auto").get(args.model or first.model)
    errors = View.of(sys.stderr)
    if first.precision:
        errors.note(f"computing in {first.precision}, as when the session was made; Ctrl-C stops")
    wiring.wait_for(model, errors)
    mine = [turn for turn in written if was_written_by(turn, model.card())]
    if not mine:
        raise MtchatError(
            f"{session.name} was made with {first.model} ({first.fingerprint[:12]}, {first.precision}), "
            f"but {model.name} is {model.card().fingerprint[:12]}, {model.card().precision}; "
            "choose the right model with --model"
        )
    for turn in mine:
        if not can_sample(turn.provenance.sampling):
            raise MtchatError(f"{session.name} has a seed or a temperature that is out of range")
    chat = Conversation(model, on_event=partial(show_note, errors), settings=Settings(run=OFF))
    chat.keep(session)
    changed = 0
    for difference in show_progress(chat.verify(), len(mine), errors):
        if difference is None:
            continue
        changed += 1
        view.error(f"turn {difference.number} differs: {difference.turn.instruction}")
        for line in diff_lines(difference.turn.chunk, difference.again, "recorded", "regenerated"):
            view.line(line)
    view.line(f"{len(mine) - changed} of {len(mine)} turns are the same, byte for byte")
    if len(mine) < len(written):
        view.note(f"{len(written) - len(mine)} turns were made by another model, and were not verified")
    return ExitCode.FAILED if changed else ExitCode.DONE


def show_progress(steps: Iterator[T], count: int, view: View) -> Iterator[T]:
    """Slow steps with their progress: a moving line on a terminal, else a line for each."""
    for number in range(1, count + 1):
        label = f"regenerating turn {number} of {count}"
        if not view.live:
            view.note(label)
        with view.waiting(label.__str__):
            found = list(islice(steps, 1))
        yield from found


def can_sample(sampling: Sampling) -> bool:
    """Whether a model can sample with these numbers: a session file may hold any."""
    return all(-(2**62) < each < 2**62 for each in astuple(sampling))


def show_note(view: View, event: Event) -> None:
    """Show a note of the model."""
    if isinstance(event, Notice) and event.level == "note":
        view.note(event.text)
