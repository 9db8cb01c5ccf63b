"""Session files that somebody changed: each opens or is refused in a sentence, and every view stands it."""

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from mtchat.console.console import Console
from mtchat.errors import MtchatError
from mtchat.repl import toolbar
from mtchat.repl.app import dispatch, greet
from mtchat.repl.completion import SlashCompleter
from mtchat.session.outcome import File, Frame, Outcome, Variable
from mtchat.session.program import CheckResult, Location
from mtchat.session.prompt import Usage
from mtchat.session.provenance import Step
from mtchat.session.session import Session
from mtchat.session.text import escape_controls
from mtchat.session.turn import FOLDED, Turn, TurnOptions
from mtchat.store import Log, summaries
from tests.support.consoles import console_in, said

ROUNDS = 120
HOSTILE = (
    *(None, True, -1, 0, 10**18, 10**400, -(10**4000), 1e308, float("inf"), float("nan"), [], {}, "", [[]]),
    *(
        "../../x",
        "/etc/hostname",
        "a\0b",
        "\x1b]0;t\x07\x9b2J",
        "\u202eabc\u200b",
        "\ud800",
        "x" * 5000,
        "...",
    ),
)
COMMANDS = (
    *("/show", "/tree", "/files", "/files *", "/context", "/vars", "/recap", "/attach", "/set", "/sessions"),
    *("/undo", "/redo", "/goto 1", "/branch", "/run", "/explain", "/check", "/fold 1", "define x", "/pick"),
)


def story() -> Session:
    """A session in which every kind of event and every kind of field is there."""
    first = Turn("read it", "x = 1\n", provenance=Step("m", "f", "float32", "instruct"), usage=Usage(9, 3, 4))
    session = Session("one", "import math\n").extend(
        (first, Turn("fail", "1 / 0\n"), Turn("go on", "y = 2\n"))
    )
    frame = Frame(Location(2, 1), "<module>", "1 / 0")
    outcome = Outcome(
        "bwrap",
        exit_code=1,
        finished=False,
        stdout="out\n",
        stderr="err\n",
        outputs=("", "out\n"),
        error="turn 2: ZeroDivisionError",
        traceback="Traceback",
        frames=(frame,),
        files=(File("a.txt", 5), File("b/c.png", 7)),
        skipped=("'l': a link",),
        variables=(Variable("x", "int", "", "1"),),
        check_results=(CheckResult(1, "x == 1"),),
    )
    session = session.with_outcome(outcome).with_options(session.head, TurnOptions(("y == 2",), FOLDED))
    return session.name_branch("tried").undo()


def leaves(value: object, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The ways to everything in a JSON value but itself."""
    if way:
        yield way
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*way, key))


def changed(line: str, chance: random.Random) -> str:
    """An event in which one field, or one that lies in it, is something else."""
    event = json.loads(line)
    *way, last = chance.choice(list(leaves(event)))
    inner = event
    for step in way:
        inner = inner[step]
    alike = [each for each in HOSTILE if type(each) is type(inner[last])]
    inner[last] = chance.choice(alike if alike and chance.random() < 0.9 else HOSTILE)
    return json.dumps(event)


def damaged(path: Path, seed: int) -> None:
    """Writes the story with one to four of its fields changed."""
    chance = random.Random(seed)
    with Log.open(path) as log:
        log.write(story())
    lines = path.read_text().splitlines()
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(lines))
        lines[place] = changed(lines[place], chance)
    path.write_text("\n".join(lines) + "\n")


def looked_at(console: Console) -> None:
    """What is drawn and offered while somebody types."""
    shown = "".join(text for _, text, *_ in toolbar.text(console, 200))
    assert shown == escape_controls(shown)
    for typed in ("/files ", "/open ", "/goto ", "/vars ", "/attach "):
        for each in SlashCompleter(lambda: console).get_completions(Document(typed), CompleteEvent()):
            assert each.text == escape_controls(each.text)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(0, ROUNDS, 30))
def test_a_session_with_changed_fields_is_refused_in_a_sentence_or_every_view_stands_it(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    opened, refusals = 0, list[str]()
    for number in range(seed, seed + 30):
        folder = tmp_path / str(number)
        folder.mkdir()
        damaged(folder / "one.jsonl", number)
        summaries(folder)
        try:
            console = console_in(folder)
        except MtchatError as error:
            refusals.append(str(error))
            continue
        opened += 1
        greet(console)
        for command in COMMANDS:
            looked_at(console)
            with suppress(MtchatError):
                dispatch(console, command)
        console.log.close()
        assert said(console) == escape_controls(said(console))
    assert opened > 10
    assert all(len(each) < 600 for each in refusals)
