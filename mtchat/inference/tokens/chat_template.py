"""Chat templates: rendered as transformers does, with the message format that a template accepts.

A template can refuse a system role, drop its text, want content in parts, or leave the reply unopened: the
format is found when a model is loaded. Special tokens inside messages stay plain text.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox

from mtchat.errors import ModelError
from mtchat.inference.tokens.thought import ANSWERED, TAG, find_format
from mtchat.inference.tokens.tokenizer import FIRST_PRIVATE, LAST_PRIVATE, TextPart, Tokenizer
from mtchat.session.prompt import Message

TemplateMessages = Sequence[Mapping[str, object]]
NO_OPTIONS: Mapping[str, object] = MappingProxyType({})


class TemplateRefusedError(Exception):
    """A template cannot be compiled, or refuses a conversation; the message says why."""


class GenerationTag(jinja2.ext.Extension):
    """`{% generation %}`, which marks the assistant's text in training: here only its content is rendered."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own form

    def parse(self, parser: Any) -> Any:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


TOKENS = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), "")  # the defaults


class ChatTemplate:
    """A compiled template, with the special tokens that it may use, such as bos_token."""

    def __init__(self, source: str, names: Mapping[str, str]) -> None:
        self.source = source
        self.names = dict(names)
        self.compiled: Any = guard(lambda: environment().from_string(source))

    def render(
        self, turns: TemplateMessages, opened: bool = True, options: Mapping[str, object] = NO_OPTIONS
    ) -> str:
        """The text of a conversation; `opened` ends it where the assistant's reply starts.

        `options` are what the template offers beside, such as a switch for thinking.
        """
        given = {"messages": [dict(turn) for turn in turns], "tools": None, "documents": None}
        known = {**options, **TOKENS, **self.names, **given, "add_generation_prompt": opened}
        return str(guard(lambda: self.compiled.render(**known)))


def guard(act: Callable[[], Any]) -> Any:
    """Run code of a template; TemplateRefusedError for anything it raises: it is third-party code."""
    try:
        return act()
    except jinja2.TemplateSyntaxError as error:
        raise TemplateRefusedError(f"line {error.lineno}: {error.message}") from error
    except jinja2.TemplateError as error:
        raise TemplateRefusedError(str(error).strip() or type(error).__name__) from error
    except Exception as error:
        raise TemplateRefusedError(f"{type(error).__name__}: {error}".strip(": ")) from error


def environment() -> Any:
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = tojson
    made.globals |= {"raise_exception": refuse, "strftime_now": now}
    return made


def refuse(message: object) -> None:
    raise jinja2.TemplateError(str(message))


def now(form: str) -> str:
    return datetime.now().strftime(form)


def tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without Jinja's HTML escapes, which no model was trained on."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


PROBE = tuple(
    Message(role, f"probe{number}word")
    for number, role in enumerate(("system", "user", "assistant", "user"), start=1)
)
ANSWER = Message("assistant", ANSWERED)
TAGS = re.compile(rf"</?(?:{TAG})>|\[/?THINK\]", re.IGNORECASE)
UNOPENED = "the chat template of {} does not open the reply, so replies may begin with template text"

Form = Callable[[Sequence[Message]], TemplateMessages]


class ChatFormat:
    """A model's chat template and the message format that it accepts; ModelError if it accepts none."""

    def __init__(self, tokenizer: Tokenizer, name: str) -> None:
        self.tokenizer = tokenizer
        self.name = name
        self.marked = re.compile(f"{tokenizer.pattern.pattern}|{TAGS.pattern}", re.IGNORECASE)
        try:
            self.template = ChatTemplate(tokenizer.template, tokenizer.names)
        except TemplateRefusedError as error:
            raise ModelError(f"cannot read the chat template of {name}: {error}") from error
        self.form = self.choose_format()
        self.thoughts = find_format(
            self.template.source,
            self.render_probe,
            PROBE[-1].content,
            lambda found: self.find_opening(found.off)[0],
            tuple(tokenizer.special_names),
        )
        self.opening, self.note = self.find_opening(self.thoughts.off)

    def parts(
        self, messages: Sequence[Message], think: int = 0, thought: str | None = None
    ) -> list[TextPart]:
        """The context of a conversation, up to the start of the reply.

        With `think`, the most tokens of a thought, it ends in an open one, or in that `thought`, closed.
        """
        said = "".join(message.content for message in messages)
        letter = next(chr(code) for code in range(FIRST_PRIVATE, LAST_PRIVATE) if chr(code) not in said)
        kept = [
            Message(each.role, self.marked.sub(lambda match: letter.join(match[0]), each.content))
            for each in messages
        ]
        try:
            options = self.thoughts.values(think)
            text = self.template.render(self.form(merge_roles(kept)), options=options)
        except TemplateRefusedError as error:
            raise ModelError(
                f"the chat template of {self.name} refuses this conversation: {error}; /undo a turn "
                "or use another model"
            ) from error
        text = text + self.thoughts.opens if think else self.close_thought(text + self.opening)
        found = [
            TextPart(part.text.replace(letter, ""), part.special)
            for part in self.tokenizer.split_special(text)
        ]
        if think and thought is not None:
            closing = self.tokenizer.split_special(self.thoughts.closes)
            found += [TextPart(thought.strip()), *closing]
        return [part for part in found if part.text]

    @property
    def thought_marks(self) -> frozenset[str]:
        """The special tokens that open and close a thought."""
        around = self.tokenizer.split_special(self.thoughts.opens + self.thoughts.closes)
        usual = (name for name in self.tokenizer.special_names if TAGS.fullmatch(name))
        return frozenset({*(part.text for part in around if part.special), *usual})

    def close_thought(self, text: str) -> str:
        """Close a thought that is open at the end of a context, so that the reply comes next."""
        return text.rstrip() + self.thoughts.empty if self.thoughts.left_open else text

    def render_probe(self, options: Mapping[str, object], answer: Mapping[str, object] | None) -> str | None:
        """The probe conversation, with or without an answer; None if the template refuses it."""
        turns = [dict(each) for each in self.form(PROBE if answer is None else (*PROBE, ANSWER))]
        if answer is not None:
            turns[-1].update(answer)
        try:
            return self.template.render(turns, opened=answer is None, options=options)
        except TemplateRefusedError:
            return None

    def choose_format(self) -> Form:
        """The first message format in which the template keeps all messages."""
        why = "it drops messages"
        for form in FORMS:
            try:
                text = self.template.render(form(PROBE))
                if says_all(text, PROBE):
                    return form
            except TemplateRefusedError as error:
                why = str(error)
        raise ModelError(
            f"cannot use the chat template of {self.name}: {why}; use another model, or a copy of it "
            "with another template"
        )

    def find_opening(self, options: Mapping[str, object]) -> tuple[str, str]:
        """What precedes a reply in a rendered conversation but is missing at the end of a prompt; a note.

        That happens if the template does not open the reply, or if a thought or a channel would come first.
        """
        try:
            text = self.template.render(self.form(PROBE), options=options)
            record = self.template.render(self.form((*PROBE, ANSWER)), opened=False, options=options)
            unopened = self.template.render(self.form(PROBE), opened=False, options=options) == text
        except TemplateRefusedError:
            return "", ""
        asked = PROBE[-1].content
        tail = text.rpartition(asked)[2]
        between, answered, _ = record.rpartition(asked)[2].partition(ANSWER.content)
        if answered and between.startswith(tail):
            rest = between.removeprefix(tail)
            return (rest if unopened or rest.strip() else ""), ""
        return "", UNOPENED.format(self.name) if unopened else ""


def says_all(text: str, messages: Sequence[Message]) -> bool:
    """Whether a text contains all messages in order; the system message may be anywhere."""
    places = [text.find(message.content) for message in messages if message.role != "system"]
    return all(message.content in text for message in messages) and places == sorted(places)


def merge_roles(messages: Sequence[Message]) -> list[Message]:
    """Join consecutive messages of one role: many templates want the roles to alternate."""
    found: list[Message] = []
    for each in messages:
        if found and found[-1].role == each.role:
            found[-1] = Message(each.role, f"{found[-1].content}\n\n{each.content}")
        else:
            found.append(each)
    return found


def as_text(messages: Sequence[Message]) -> TemplateMessages:
    return [{"role": each.role, "content": each.content} for each in messages]


def as_text_parts(messages: Sequence[Message]) -> TemplateMessages:
    return [{"role": each.role, "content": [{"type": "text", "text": each.content}]} for each in messages]


def fold_system(messages: Sequence[Message]) -> Iterator[Message]:
    """Move the system message in front of the first user message."""
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
    as_text,
    lambda messages: as_text(merge_roles([*fold_system(messages)])),
    as_text_parts,
    lambda messages: as_text_parts(merge_roles([*fold_system(messages)])),
)
