"""What changed between two sessions as events, and the session that events give back. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate

from mtchat.session.language import LANGUAGES, PYTHON, Language
from mtchat.session.outcome import NOTES, Outcome, Reason
from mtchat.session.program import AttachedFile
from mtchat.session.provenance import Replacement, Rewrite
from mtchat.session.session import ROOT, Session
from mtchat.session.turn import Turn, TurnOptions
from mtchat.store.values import rebuild, shorten_value, to_json

LogRecord = Mapping[str, object]

VERSION = 1
START = '{"event":"session","version":'
KEPT = 64 * 1024


@dataclass(frozen=True)
class History:
    """The session that the events so far give.

    `ids` maps the recorded id of a turn that was edited in the file to the id that it has now;
    `edited` says that the last event was such a turn.
    """

    session: Session = Session()
    ids: Mapping[str, str] = field(default_factory=dict)
    edited: bool = False

    def id(self, recorded: str) -> str:
        return self.ids.get(recorded, recorded)


def to_line(event: LogRecord) -> bytes:
    """One line of JSON. Lone surrogates go through as they are: escapes of two would pair up on reading."""
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass") + b"\n"


def to_event(line: bytes) -> LogRecord:
    """The event in a line; ValueError when it is not one."""
    try:
        event = json.loads(line.decode("utf-8", "surrogatepass"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        raise ValueError("not an event")
    return event


def header(session: Session, created: str, program: str) -> LogRecord:
    """The first event of a file. Its first keys never change place: `START` is how a session file begins."""
    written_in = {} if session.language == PYTHON else {"language": session.language.name}
    return {
        "event": "session",
        "version": VERSION,
        "created": created,
        "program": program,
        "name": session.name,
        "preamble": session.preamble,
        **written_in,
    }


def list_changes(before: Session, after: Session, why: str = "") -> list[LogRecord]:
    """The events that lead from one session to a later one; `why` is noted with the move of the head."""
    if after.turns[: len(before.turns)] != before.turns:
        raise ValueError("the session lacks turns that its file has: it belongs to another file")
    events: list[LogRecord] = []
    if after.preamble != before.preamble:
        events.append({"event": "preamble", "preamble": after.preamble})
    if after.language != before.language:
        events.append({"event": "language", "language": after.language.name})
    if after.attached != before.attached:
        events.append(attach_event(after.attached))
    for turn in after.turns[len(before.turns) :]:
        events.append({"event": "turn", "id": turn.id, **to_json(turn)})
    for turn_id, outcome in after.outcomes.items():
        known = before.outcomes.get(turn_id)
        if known is not outcome and known != outcome:
            events.append({"event": "outcome", "of": turn_id, **outcome_fields(outcome)})
    for turn_id in {**before.turn_options, **after.turn_options}:
        if before.options_of(turn_id) != after.options_of(turn_id):
            events.append({"event": "mark", "of": turn_id, **to_json(after.options_of(turn_id))})
    reached = History(before)
    for event in events:
        if event["event"] == "turn":  # the others move nothing
            reached = apply_event(reached, as_read_back(event))
    events += missing_head_events(reached, after, why)
    if (reached.session.branches, reached.session.branch) != (after.branches, after.branch):
        events.append({"event": "branches", "named": dict(after.branches), "on": after.branch})
    return events


def attach_event(files: tuple[AttachedFile, ...]) -> LogRecord:
    """All files that are attached from now on."""
    return {"event": "attach", "files": [to_json(file) for file in files]}


def missing_head_events(reached: History, after: Session, why: str) -> Iterator[LogRecord]:
    """The `head` event that is still missing, if one is.

    Moves alone do not always give the children last visited, after several turns in one write; then
    the event carries them.
    """
    if reached.session.head == after.head and reached.session.visited == after.visited:
        return
    event: LogRecord = {"event": "head", "to": after.head, "why": why}
    if apply_event(reached, event).session.visited != after.visited:
        event = {**event, "visited": dict(after.visited)}
    yield event


def apply_event(history: History, event: LogRecord) -> History:
    """The history with one more event; unknown kinds change nothing. ValueError says what does not fit."""
    session = history.session
    match event["event"]:
        case "session":
            preamble = require_text(event, "preamble")
            return History(session.with_values(preamble=preamble, language=language_of(event)))
        case "preamble":
            session = session.with_values(preamble=require_text(event, "preamble"))
        case "language":
            session = session.with_values(language=language_of(event))
        case "attach":
            session = session.with_values(attached=attached_files(event))
        case "turn":
            return add_turn(history, event)
        case "outcome":
            turn_id = require_turn(session, history.id(require_text(event, "of")))
            session = session.with_values(outcomes={**session.outcomes, turn_id: outcome_of(event)})
        case "mark":
            session = session.with_options(
                require_turn(session, history.id(require_text(event, "of"))), rebuild(TurnOptions, event)
            )
        case "branches":
            found, on = read_branches(history, event.get("named")), require_text(event, "on")
            session = session.with_values(branches=found, branch=on if on in found else "")
        case "head":
            session = session.move(require_turn(session, history.id(require_text(event, "to"))))
            if "visited" in event:
                session = session.with_values(visited=read_visited(history, event["visited"])).move(
                    session.head
                )
    return replace(history, session=session, edited=False)


def add_turn(history: History, event: LogRecord) -> History:
    """The history with a turn under the id that its content gives; later events refer to the recorded one."""
    recorded = require_text(event, "id")
    turn = rebuild(Turn, event)
    edited = turn.id != recorded
    provenance = turn.provenance
    if isinstance(provenance, Replacement | Rewrite):
        provenance = replace(provenance, of=history.id(provenance.of))
    turn = replace(turn, parent=require_turn(history.session, history.id(turn.parent)), provenance=provenance)
    ids = history.ids if turn.id == recorded else {**history.ids, recorded: turn.id}
    return History(history.session.add(turn), ids, edited)


def language_of(event: LogRecord) -> Language:
    """The language that an event names; Python where it names none, as before there were others."""
    name = event.get("language", PYTHON.name)
    found = next((each for each in LANGUAGES if each.name == name), None)
    if found is None:
        raise ValueError(f"no language {shorten_value(name)} is known here")
    return found


def attached_files(event: LogRecord) -> tuple[AttachedFile, ...]:
    files = event.get("files")
    if not isinstance(files, list):
        raise ValueError("files is missing or not a list")
    return tuple(rebuild(AttachedFile, file) for file in files)


def read_visited(history: History, value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError("visited is not a JSON object")
    return {
        require_turn(history.session, history.id(parent)): require_turn(history.session, history.id(child))
        for parent, child in value.items()
    }


def read_branches(history: History, value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError("named is missing or not a JSON object")
    return {name: require_turn(history.session, history.id(str(turn))) for name, turn in value.items()}


def require_turn(session: Session, turn_id: str) -> str:
    if turn_id != ROOT and turn_id not in session.by_id:
        raise ValueError(f"no turn {shorten_value(turn_id)} before this line")
    return turn_id


def require_text(event: LogRecord, key: str) -> str:
    value = event.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key} is missing or not text")
    return value


def as_read_back(event: LogRecord) -> LogRecord:
    """An event as it will be read back: tuples are lists there."""
    return to_event(to_line(event))


def outcome_fields(outcome: Outcome) -> Mapping[str, object]:
    """An outcome as session files keep it: its reason is a `limit`, or what the `world` around it lacks."""
    fields = to_json(limit_streams(outcome))
    del fields["reason"]
    if not outcome.state:  # as before there was any
        del fields["state"]
    return {**fields, "limit": outcome.limit, "world": outcome.missing}


def outcome_of(event: LogRecord) -> Outcome:
    """The outcome in an event. Old files say only in `error` what the sandbox lacked."""
    limit, missing = (
        require_text({"limit": "", **event}, "limit"),
        require_text({"world": "", **event}, "world"),
    )
    found = rebuild(Outcome, {name: value for name, value in event.items() if name != "reason"})
    if not limit and "world" not in event:
        ends = (reason for reason, note in NOTES.items() if note and found.error.endswith(f"({note})"))
        missing = next(ends, "")
    return replace(found, reason=reason_of(limit or missing))


def reason_of(name: str) -> Reason:
    """The reason that a file names; a newer mtchat may know others."""
    return Reason(name) if name in set(Reason) else Reason.OTHER


def limit_streams(outcome: Outcome) -> Outcome:
    """An outcome with at most `KEPT` characters of each stream; the chunks' parts are cut with the whole."""
    parts = ("".join(outcome.outputs), "".join(outcome.error_outputs))
    if all(len(stream) <= KEPT for stream in (outcome.stdout, outcome.stderr, outcome.traceback, *parts)):
        return outcome
    return replace(
        outcome,
        stdout=outcome.stdout[:KEPT],
        stderr=outcome.stderr[:KEPT],
        traceback=outcome.traceback[:KEPT],
        outputs=limit_parts(outcome.outputs),
        error_outputs=limit_parts(outcome.error_outputs),
        truncated=True,
    )


def limit_parts(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The parts of a stream, as far as their first `KEPT` characters go."""
    ends = accumulate((len(part) for part in parts), initial=0)
    return tuple(part[: max(0, KEPT - start)] for start, part in zip(ends, parts, strict=False))
