"""The loop of the REPL: reads a line, does a command or takes a turn, and outlives every error."""

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

from mtchat.console import slash
from mtchat.console.captions import describe_position, explain_not_run, short_path
from mtchat.console.console import Console, Leave
from mtchat.console.parsing import make_encodable
from mtchat.console.terminal import discard_typed, hide_typing, on_interrupt
from mtchat.errors import DEBUG, MtchatError, UsageError
from mtchat.features.own_code.user_code import is_code
from mtchat.features.understand.commands import respond
from mtchat.files import MIB, PRIVATE, PRIVATE_FOLDER, content, regular, replace
from mtchat.repl import toolbar
from mtchat.repl.completion import SlashCompleter
from mtchat.repl.input_line import EscapedInput, FixSuggestion, make_key_bindings, select_text
from mtchat.session.text import escape_controls
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


def start(console: Console, history: Path | None) -> None:
    """Runs the REPL until the user leaves. The model starts to load once the prompt is on the screen."""
    prompt = make_prompt(console, history)
    console.edit_line = lambda label, text: edit_line(prompt, label, text)
    questions: PromptSession[str] = PromptSession(style=STYLE)
    console.questions.answer = lambda label: read_answer(questions, label)
    console.questions.confirm = make_confirm()
    prompt.app.after_render += lambda _: console.begin()
    greet(console)
    suggestion, going = FixSuggestion(), True
    with on_interrupt(console.questions.hold_back):
        while going:
            try:
                going = read_and_run(console, prompt, suggestion)
            except KeyboardInterrupt:
                console.view.erase()
    console.chat.close()


def make_prompt(console: Console, history: Path | None) -> PromptSession[str]:
    prompt = PromptSession[str](
        multiline=True,
        history=open_history(history),
        auto_suggest=AutoSuggestFromHistory(),
        completer=SlashCompleter(lambda: console),
        input_processors=[EscapedInput()],
        key_bindings=make_key_bindings(),
        bottom_toolbar=lambda: toolbar.text(console, prompt.output.get_size().columns),
        prompt_continuation=lambda width, number, wrapped: " " * width,
        style=STYLE,
        refresh_interval=0.5,
        reserve_space_for_menu=6,
        tempfile_suffix=".txt",
    )
    return prompt


def open_history(history: Path | None) -> History:
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
                replace(history, last_entries(content(opened, 100 * MOST_HISTORY)), PRIVATE)
        finally:
            os.close(opened)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(history))


def last_entries(history: bytes) -> bytes:
    """The end of a history, from the beginning of an entry on."""
    end = history[-MOST_HISTORY // 4 :]
    return end[max(end.find(b"\n# "), 0) :]


def edit_line(prompt: PromptSession[str], label: str, text: str) -> str:
    """A line the user edits, outside the conversation; Ctrl-C and Ctrl-D leave it as it was."""
    try:
        return prompt.prompt([("class:prompt", escape_controls(label))], default=text)
    except (KeyboardInterrupt, EOFError):
        return text


def read_answer(prompt: PromptSession[str], label: str) -> str | None:
    """What the user replies to a question; None after Ctrl-C or Ctrl-D.

    What was typed before it was asked is no answer.
    """
    discard_typed()
    clear_typeahead(prompt.input)
    try:
        return make_encodable(prompt.prompt([("class:prompt", escape_controls(label))]))
    except (KeyboardInterrupt, EOFError):
        return None


def make_confirm() -> Callable[[str], str]:
    """Asks a question apart from the conversation: what was typed before it was asked is no answer."""
    prompt = PromptSession[str](style=STYLE)

    def confirm(label: str) -> str:
        discard_typed()
        clear_typeahead(prompt.input)
        return prompt.prompt([("class:prompt", escape_controls(label))])

    return confirm


def greet(console: Console) -> None:
    view = console.view
    view.say(
        f"mtchat {__version__}: type an instruction to write the next piece of the program. "
        "/help lists commands."
    )
    view.warning(console.host.warning)
    for notice in console.chat.notices:
        view.note(notice)
    if not console.session.language.runs:
        view.note(explain_not_run(console.session))
    if not console.session.turns:
        view.note(f"new session {console.session.name}; try: {FIRST}")
    else:
        view.say(f"{console.session.name}: {describe_position(console.session)}; /show shows the program")


def read_and_run(console: Console, prompt: PromptSession[str], suggestion: FixSuggestion) -> bool:
    """One line of input, done; False when the user leaves."""
    try:
        line = next_line(console, prompt, suggestion)
    except KeyboardInterrupt:
        console.view.note(
            "Ctrl-D or /quit quits; "
            + ("turns are not saved" if console.chat.unsaved else "everything is saved")
        )
        return True
    except EOFError:
        return leave_session(console)
    try:
        with hide_typing():
            dispatch(console, line)
    except Leave:
        return leave_session(console)
    except MtchatError as error:
        console.view.error(str(error))
        if os.environ.get(DEBUG):
            traceback.print_exception(error)
    except KeyboardInterrupt:
        console.view.erase()
        console.view.note(f"stopped; {describe_position(console.session)}")
    if line.strip():
        console.view.line()
    return True


def next_line(console: Console, prompt: PromptSession[str], suggestion: FixSuggestion) -> str:
    """What was postponed, else what the user types, who may change what was held back."""
    label = f"{len(console.session.path) + 1}› "
    if console.questions.later:
        console.view.heading(label + console.questions.later)
        prompt.history.append_string(console.questions.later)
        line, console.questions.later = console.questions.later, ""
        return line
    text, console.questions.unsent = console.questions.unsent or suggestion.text(console.session), ""
    return prompt.prompt(
        [("class:prompt", label)], default=text, pre_run=lambda: select_text(prompt.default_buffer)
    )


def leave_session(console: Console) -> bool:
    """Says where the session is; False unless turns would be lost, which is said once."""
    if console.chat.unsaved and not save_before_leaving(console):
        if lost := console.chat.unsaved != console.warned:
            console.view.error("turns of this session are not saved; quit again to discard them")
        console.warned = console.chat.unsaved
        return lost
    if console.log.path.exists():
        path = console.log.path
        console.view.note(f"saved in {short_path(path)}; to continue: {console.host.reopen_command(path)}")
    return False


def save_before_leaving(console: Console) -> bool:
    """Saves what is not saved yet: in its place, else in a folder of its own among the temporary files."""
    why = console.chat.unsaved
    try:
        console.log.write(console.session, "save")
    except MtchatError:
        if not save_in_temporary_folder(console):
            console.view.error(why)
            return False
        console.view.error(f"could not be saved in its own folder: {why.partition(';')[0]}")
    console.chat.unsaved = ""
    return True


def save_in_temporary_folder(console: Console) -> bool:
    """Whether the session could be saved among the temporary files, where it then goes on."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="mtchat-"))
    except OSError:
        return False
    try:
        console.log.move_to(folder / console.log.path.name, console.session)
    except MtchatError:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def likely_command(text: str) -> str:
    """The command that a word alone is likely to mean, where its slash was left out; "" for all else."""
    return f"/{text.lower()}" if text.lower() in BARE else ""


def take_instruction(console: Console, text: str) -> None:
    """Does what a text without a slash asks for."""
    if is_code(text, console.session):
        console.view.note("added as your own code, unchanged; /next TEXT treats TEXT as an instruction")
        console.add(text)
    elif number := step_to_drop(text):
        slash.do(console, f"drop {number}")
    else:
        respond(console, text)


def step_to_drop(text: str) -> str:
    """The number of the step that a text says is to be dropped; "" for all else."""
    found = DROP.fullmatch(text)
    return found["number"] if found else ""


def dispatch(console: Console, line: str) -> None:
    """Does what a line says, and then what the user chose in place of a run."""
    run_line(console, line)
    while command := console.next_command:
        console.next_command = ""
        run_line(console, command)


def run_line(console: Console, line: str) -> None:
    """A command when the line begins with a slash and a letter; an instruction otherwise."""
    text = make_encodable(line.strip())
    if not text:
        return
    if text == "/":
        raise UsageError("/help lists the commands")
    if text.lower() in LEAVING:
        raise Leave
    if text.lower() in HELPING:
        slash.do(console, "help")
    elif text.lower() in CLEARING:
        console.view.clear()
    elif likely := likely_command(text):
        raise UsageError(f"did you mean {likely}? /next {text} sends it as an instruction")
    elif slash.is_command(text):
        slash.do(console, text[1:])
    else:
        take_instruction(console, text)
