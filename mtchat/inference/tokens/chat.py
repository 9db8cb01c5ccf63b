"""How a chat model is talked to: the form of messages that its template takes, found out on loading.

A template can refuse a system role, drop what it says, want content in parts, or leave the reply unopened.
What a message says is words: marks in it are no marks of the template.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from mtchat.errors import ModelError
from mtchat.inference.tokens.template import RefusalError, Template, Turns
from mtchat.inference.tokens.tokenizer import FIRST, LAST, Part, Tokenizer
from mtchat.session.prompt import Message

PROBE = tuple(
    Message(role, f"probe{number}word")
    for number, role in enumerate(("system", "user", "assistant", "user"), start=1)
)
ANSWER = Message("assistant", "probe5word")
TAG = r"think(?:ing)?|thought|reason(?:ing)?|seed:think"
THOUGHT = re.compile(  # at the end of a context
    rf"(?P<open><(?:{TAG})>|\[THINK\]|<\|begin_of_thought\|>|<\|START_THINKING\|>)\s*\Z", re.IGNORECASE
)
CLOSING = {
    "[THINK]": "[/THINK]",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|START_THINKING|>": "<|END_THINKING|>",
}
TAGS = re.compile(rf"</?(?:{TAG})>|\[/?THINK\]", re.IGNORECASE)
UNOPENED = "the chat template of {} does not open the reply: what it writes may begin with its own words"

Form = Callable[[Sequence[Message]], Turns]


class Chat:
    """A template with the form of messages that it takes; ModelError where it takes none."""

    def __init__(self, tokenizer: Tokenizer, name: str) -> None:
        self.tokenizer = tokenizer
        self.name = name
        self.marked = re.compile(f"{tokenizer.pattern.pattern}|{TAGS.pattern}", re.IGNORECASE)
        try:
            self.template = Template(tokenizer.template, tokenizer.names)
        except RefusalError as error:
            raise ModelError(f"cannot read the chat template of {name}: {error}") from error
        self.form, self.opening, self.note = self.probed()

    def parts(self, messages: Sequence[Message]) -> list[Part]:
        """The context of a conversation up to where the reply begins."""
        said = "".join(message.content for message in messages)
        letter = next(chr(code) for code in range(FIRST, LAST) if chr(code) not in said)
        kept = [
            Message(each.role, self.marked.sub(lambda match: letter.join(match[0]), each.content))
            for each in messages
        ]
        try:
            text = self.template.render(self.form(merged(kept)))
        except RefusalError as error:
            raise ModelError(
                f"the chat template of {self.name} refuses this conversation: {error}; /undo a turn, "
                "or use another model"
            ) from error
        text = closed(text + self.opening)
        return [Part(part.text.replace(letter, ""), part.mark) for part in self.tokenizer.parts(text)]

    def probed(self) -> tuple[Form, str, str]:
        """The form of messages in which the template says all that a conversation holds; how the reply is
        opened beside what the template writes; and what is to be known of that."""
        why = "it leaves out what messages say"
        for form in FORMS:
            try:
                text = self.template.render(form(PROBE))
                if said(text, PROBE):
                    return form, *self.opened(form, text)
            except RefusalError as error:
                why = str(error)
        raise ModelError(
            f"cannot use the chat template of {self.name}: {why}; use another model, or a copy of it "
            "with another template"
        )

    def opened(self, form: Form, text: str) -> tuple[str, str]:
        """What stands before a reply in the record of a conversation, beyond what the template opens it with.

        There is such where it opens none, or where a thought or a channel would come first.
        """
        try:
            record = self.template.render(form((*PROBE, ANSWER)), opened=False)
            unopened = self.template.render(form(PROBE), opened=False) == text
        except RefusalError:
            return "", ""
        asked = PROBE[-1].content
        tail = text.rpartition(asked)[2]
        between, answered, _ = record.rpartition(asked)[2].partition(ANSWER.content)
        if answered and between.startswith(tail):
            rest = between.removeprefix(tail)
            return (rest if unopened or rest.strip() else ""), ""
        return "", UNOPENED.format(self.name) if unopened else ""


def said(text: str, messages: Sequence[Message]) -> bool:
    """Whether a text holds what each message says, in their order; a system may speak anywhere."""
    places = [text.find(message.content) for message in messages if message.role != "system"]
    return all(message.content in text for message in messages) and places == sorted(places)


def merged(messages: Sequence[Message]) -> list[Message]:
    """Messages of one role that follow each other as one: many templates want the roles to alternate."""
    found: list[Message] = []
    for each in messages:
        if found and found[-1].role == each.role:
            found[-1] = Message(each.role, f"{found[-1].content}\n\n{each.content}")
        else:
            found.append(each)
    return found


def plain(messages: Sequence[Message]) -> Turns:
    return [{"role": each.role, "content": each.content} for each in messages]


def in_parts(messages: Sequence[Message]) -> Turns:
    return [{"role": each.role, "content": [{"type": "text", "text": each.content}]} for each in messages]


def folded(messages: Sequence[Message]) -> Iterator[Message]:
    """What the system says, in front of what the user says first."""
    ahead = ""
    for each in messages:
        if each.role == "system":
            ahead += f"{each.content}\n\n"
        elif ahead and each.role == "user":
            yield Message("user", ahead + each.content)
            ahead = ""
        else:
            yield each
    if ahead:
        yield Message("user", ahead.rstrip("\n"))


FORMS: tuple[Form, ...] = (
    plain,
    lambda messages: plain(merged([*folded(messages)])),
    in_parts,
    lambda messages: in_parts(merged([*folded(messages)])),
)


def closed(text: str) -> str:
    """A context whose end opens a thought, with the thought closed: what comes next is the reply."""
    match = THOUGHT.search(text)
    if match is None:
        return text
    tag = match["open"]
    return f"{text.rstrip()}\n\n{CLOSING.get(tag, tag.replace('<', '</'))}\n\n"
