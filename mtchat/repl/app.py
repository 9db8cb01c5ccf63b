"""The loop of the REPL: reads a line, does a command or takes a turn, and outlives every error."""

import difflib
import os
import re
import shutil
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input.typeahead import clear_typeahead
from prompt_toolkit.styles import Style

from mtchat import plugins
from mtchat.console import slash
from mtchat.console.captions import describe_position, explain_not_run, short_path
from mtchat.console.desk import Desk, Leave
from mtchat.console.echo import forget_typed, silent
from mtchat.console.parsing import make_encodable
from mtchat.console.stopping import hearing
from mtchat.errors import DEBUG, MtchatError, UsageError
from mtchat.features.checks.parse import stated, unread
from mtchat.features.checks.view import keep_check
from mtchat.features.correction.detect import recognise
from mtchat.features.explain.inquiry_view import answer_question
from mtchat.features.explain.questions import explain_target, is_question
from mtchat.features.own_code.detect import is_code, turn_from_code
from mtchat.files import MIB, PRIVATE, PRIVATE_FOLDER, content, regular, replace
from mtchat.repl import toolbar
from mtchat.repl.completion import Slash
from mtchat.repl.keys import bindings
from mtchat.repl.offer import Offer, select
from mtchat.repl.typed import SignForSign
from mtchat.session.escape import escaped
from mtchat.version import __version__

STYLE = Style.from_dict(
    {
        "bottom-toolbar": "noreverse ansibrightblack",
        "bottom-toolbar warning": "bold ansired",
        "prompt": "bold",
    }
)


MOST_HISTORY = 4 * MIB  # what was typed; beyond that the oldest goes
FIRST = "print the numbers from 1 to 10"
BARE = ("undo", "redo", "retry", "tree", "explain")  # no piece of a program has such a name
# What is typed at other prompts, and means the same here.
LEAVING = ("quit", "exit", "bye", "q", "quit()", "exit()", ":q")
HELPING, CLEARING = ("help", "help()", "?"), ("clear", "cls")
DROP = re.compile(r"(?:please )?(?:delete|remove|drop) (?:step|turn) (?P<number>\d{1,9})[.!]?", re.IGNORECASE)


def start(desk: Desk, history: Path | None) -> None:
    """Runs the REPL until the user leaves. The model starts to load once the prompt is on the screen."""
    prompt = prompter(desk, history)
    desk.ask = lambda label, text: asked(prompt, label, text)
    questions: PromptSession[str] = PromptSession(style=STYLE)
    desk.answer = lambda label: answered(questions, label)
    desk.approval.confirm = confirmer()
    prompt.app.after_render += lambda _: desk.begin()
    greet(desk)
    offer, going = Offer(), True
    with hearing(desk.hold_back):
        while going:
            try:
                going = step(desk, prompt, offer)
            except KeyboardInterrupt:
                desk.view.erase()
    desk.log.close()


def prompter(desk: Desk, history: Path | None) -> PromptSession[str]:
    prompt = PromptSession[str](
        multiline=True,
        history=kept(history),
        auto_suggest=AutoSuggestFromHistory(),
        completer=Slash(lambda: desk),
        input_processors=[SignForSign()],
        key_bindings=bindings(),
        bottom_toolbar=lambda: toolbar.text(desk, prompt.output.get_size().columns),
        prompt_continuation=lambda width, number, wrapped: " " * width,
        style=STYLE,
        refresh_interval=0.5,
        reserve_space_for_menu=6,
        tempfile_suffix=".txt",
    )
    return prompt


def kept(history: Path | None) -> History:
    """Earlier input on disk; in memory where the folder cannot be written."""
    if history is None:
        return InMemoryHistory()
    try:
        history.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        history.touch(PRIVATE)
        opened = regular(history, os.O_RDWR)
        try:
            os.fchmod(opened, PRIVATE)  # it was open to others in earlier versions
            if os.fstat(opened).st_size > MOST_HISTORY:
                replace(history, latest(content(opened, 100 * MOST_HISTORY)), PRIVATE)
        finally:
            os.close(opened)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(history))


def latest(history: bytes) -> bytes:
    """The end of a history, from the beginning of an entry on."""
    end = history[-MOST_HISTORY // 4 :]
    return end[max(end.find(b"\n# "), 0) :]


def asked(prompt: PromptSession[str], label: str, text: str) -> str:
    """A line the user edits, outside the conversation; Ctrl-C and Ctrl-D leave it as it was."""
    try:
        return prompt.prompt([("class:prompt", escaped(label))], default=text)
    except (KeyboardInterrupt, EOFError):
        return text


def answered(prompt: PromptSession[str], label: str) -> str | None:
    """What the user replies to a question; None after Ctrl-C or Ctrl-D.

    What was typed before it was asked is no answer.
    """
    forget_typed()
    clear_typeahead(prompt.input)
    try:
        return make_encodable(prompt.prompt([("class:prompt", escaped(label))]))
    except (KeyboardInterrupt, EOFError):
        return None


def confirmer() -> Callable[[str], str]:
    """Asks a question apart from the conversation: what was typed before it was asked is no answer."""
    prompt = PromptSession[str](style=STYLE)

    def confirm(label: str) -> str:
        forget_typed()
        clear_typeahead(prompt.input)
        return prompt.prompt([("class:prompt", escaped(label))])

    return confirm


def greet(desk: Desk) -> None:
    view = desk.view
    view.say(
        f"mtchat {__version__}: type an instruction, and the program grows by a piece. /help lists commands."
    )
    view.warning(desk.tools.warning)
    for notice in desk.notices:
        view.note(notice)
    if not desk.session.language.runs:
        view.note(explain_not_run(desk.session))
    if not desk.session.turns:
        view.note(f"new session {desk.session.name}; try: {FIRST}")
    else:
        view.say(f"{desk.session.name}: {describe_position(desk.session)}; /show shows the program")


def step(desk: Desk, prompt: PromptSession[str], offer: Offer) -> bool:
    """One line of input, done; False when the user leaves."""
    try:
        line = next_line(desk, prompt, offer)
    except KeyboardInterrupt:
        desk.view.note(
            f"Ctrl-D or /quit leaves; {'turns are not saved' if desk.unsaved else 'everything is saved'}"
        )
        return True
    except EOFError:
        return leave(desk)
    try:
        with silent():
            dispatch(desk, line)
    except Leave:
        return leave(desk)
    except MtchatError as error:
        desk.view.error(str(error))
        if os.environ.get(DEBUG):
            traceback.print_exception(error)
    except KeyboardInterrupt:
        desk.view.erase()
        desk.view.note(f"stopped; {describe_position(desk.session)}")
    if line.strip():
        desk.view.line()
    return True


def next_line(desk: Desk, prompt: PromptSession[str], offer: Offer) -> str:
    """What was postponed, else what the user types, who may change what was held back."""
    label = f"{len(desk.session.path) + 1}› "
    if desk.later:
        desk.view.heading(label + desk.later)
        prompt.history.append_string(desk.later)
        line, desk.later = desk.later, ""
        return line
    text, desk.held = desk.held or offer.text(desk.session), ""
    return prompt.prompt(
        [("class:prompt", label)], default=text, pre_run=lambda: select(prompt.default_buffer)
    )


def leave(desk: Desk) -> bool:
    """Says where the session is; False unless turns would be lost, which is said once."""
    if desk.unsaved and not saved(desk):
        if lost := desk.unsaved != desk.warned:
            desk.view.error("turns of this session are not saved; leave again to leave without them")
        desk.warned = desk.unsaved
        return lost
    if desk.log.path.exists():
        desk.view.note(
            f"saved in {short_path(desk.log.path)}; {desk.tools.goes_on(desk.log.path)} goes on with it"
        )
    return False


def saved(desk: Desk) -> bool:
    """Saves what is not saved yet: in its place, else in a folder of its own among the temporary files."""
    why = desk.unsaved
    try:
        desk.log.write(desk.session, "save")
    except MtchatError:
        if not rescued(desk):
            desk.view.error(why)
            return False
        desk.view.error(f"not saved in its place: {why.partition(';')[0]}")
    desk.unsaved = ""
    return True


def rescued(desk: Desk) -> bool:
    """Whether the session could be saved among the temporary files, where it then goes on."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="mtchat-"))
    except OSError:
        return False
    try:
        desk.log.move_to(folder / desk.log.path.name, desk.session)
    except MtchatError:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def meant(text: str) -> str:
    """The command that a word alone is likely to mean, where its slash was left out; "" for all else."""
    return f"/{text.lower()}" if text.lower() in BARE else ""


def instruct(desk: Desk, text: str) -> None:
    """What a text without a slash asks for: code, or what the program does, which needs no turn."""
    session = desk.session
    if is_code(text, session) and not (desk.corrects and recognise(session.path, text)):
        desk.view.note("taken as your own code, as it is; /next TEXT takes TEXT as an instruction")
        desk.add(turn_from_code(text, session))
        return
    if number := dropping(text):
        plugins.load(slash.COMMANDS, "drop").do(desk, number)
        return
    corrects = desk.corrects and recognise(session.path, text) is not None
    about = explain_target(text, session) if session.language.runs else None
    if about is not None or (not corrects and is_question(text)):
        answer_question(desk, text)
        return
    desk.take(text)


def dropping(text: str) -> str:
    """The number of the step that a text says is to be dropped; "" for all else."""
    found = DROP.fullmatch(text)
    return found["number"] if found else ""


def dispatch(desk: Desk, line: str) -> None:
    """A command when the line begins with a slash and a letter; an instruction otherwise."""
    text = make_encodable(line.strip())
    if not text:
        return
    if text == "/":
        raise UsageError("/help lists the commands")
    if text.lower() in LEAVING:
        raise Leave
    if text.lower() in HELPING:
        plugins.load(slash.COMMANDS, "help").do(desk, "")
        return
    if text.lower() in CLEARING:
        desk.view.clear()
        return
    if likely := meant(text):
        raise UsageError(f"did you mean {likely}? /next {text} takes it as an instruction")
    if not (text[0] == "/" and text[1:2].isalpha()):
        claim = stated(text, desk.session) if desk.session.language.runs else None
        if claim is None and desk.session.language.runs and (why := unread(text, desk.session)):
            raise UsageError(why)
        if claim is None:
            instruct(desk, text)
        else:
            keep_check(desk, claim)
        return
    name, *rest = text[1:].split(maxsplit=1)
    known = slash.names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean /{near[0]}?)" if near else ""
        raise UsageError(f"no command /{name}{hint}; /help lists them")
    command = plugins.load(slash.COMMANDS, name)
    if getattr(command, "PYTHON_ONLY", False) and not desk.session.language.runs:
        raise MtchatError(f"/{name} needs a program in Python: {explain_not_run(desk.session)}")
    command.do(desk, rest[0] if rest else "")
