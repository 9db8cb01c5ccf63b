"""The input line: its keys, its text made safe to show, and the /fix it suggests after a failure."""

from dataclasses import dataclass

from prompt_toolkit.application import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus, shift_selection_mode
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.selection import SelectionState

from mtchat.generate.execute import failed, is_repairable
from mtchat.session.session import Session
from mtchat.session.text import mask_controls

FIX, AS = "/fix", "/as"


def make_key_bindings() -> KeyBindings:
    """Enter sends, Alt-Enter starts a new line, Ctrl-X Ctrl-E opens $EDITOR without sending.

    Ctrl-T takes the last text for something else where nothing is typed yet.
    """
    keys = KeyBindings()
    here = has_focus(DEFAULT_BUFFER)

    @keys.add("c-t", filter=here & Condition(is_untouched))
    def read_as(event: KeyPressEvent) -> None:
        event.current_buffer.text = AS
        event.current_buffer.validate_and_handle()

    @keys.add("enter", filter=here)
    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter", filter=here)
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-d", filter=here & shift_selection_mode)
    def leave(event: KeyPressEvent) -> None:
        event.app.exit(exception=EOFError)

    @keys.add("c-c", filter=here & shift_selection_mode, eager=True)  # c-c > indents what is selected
    def stop(event: KeyPressEvent) -> None:
        event.app.exit(exception=KeyboardInterrupt)

    @keys.add("c-z", filter=here)
    def suspend(event: KeyPressEvent) -> None:
        event.app.suspend_to_background()

    @keys.add(Keys.BracketedPaste, filter=here & shift_selection_mode)
    def paste(event: KeyPressEvent) -> None:
        event.current_buffer.cut_selection()
        event.current_buffer.insert_text(event.data.replace("\r\n", "\n").replace("\r", "\n"))

    @keys.add("c-x", "c-e", filter=here)
    def in_editor(event: KeyPressEvent) -> None:
        event.current_buffer.open_in_editor(validate_and_handle=False)

    return keys


def is_untouched() -> bool:
    """Whether nothing is on the input line but what it suggests."""
    buffer = get_app().current_buffer
    return not buffer.text or (buffer.text == FIX and buffer.selection_state is not None)


class EscapedInput(Processor):
    """Shows control and invisible characters by a visible sign each; positions in the text stay the same.

    Text that is offered to edit may come from a model or a file, so it is not trusted either.
    """

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        shown: StyleAndTextTuples = [
            (each[0], mask_controls(each[1])) for each in transformation_input.fragments
        ]
        return Transformation(shown)


@dataclass
class FixSuggestion:
    """Suggests /fix once for each failure: a user who goes on is not asked again."""

    suggested: str = ""

    def text(self, session: Session) -> str:
        """The text that the prompt begins with; "" for none."""
        outcome = session.outcome
        failure = outcome.error if outcome is not None and is_repairable(outcome) and failed(outcome) else ""
        known, self.suggested = self.suggested, failure
        return FIX if failure not in ("", known) else ""


def select_text(buffer: Buffer) -> None:
    """Selects the suggested text as Shift and the arrow keys do: typing then replaces it."""
    if buffer.text == FIX:
        buffer.selection_state = SelectionState(original_cursor_position=0)
        buffer.selection_state.enter_shift_mode()
        buffer.cursor_position = len(buffer.text)
