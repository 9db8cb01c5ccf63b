"""Renders chat templates as transformers does: Jinja in a sandbox, with what templates may call."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox

# each family of models has its own word for it; a template takes no notice of the others
UNTHINKING = {"enable_thinking": False, "thinking": False, "thinking_budget": 0}
Turns = Sequence[Mapping[str, object]]


class RefusalError(Exception):
    """A template cannot be read, or refuses a conversation; the words say why."""


class Generation(jinja2.ext.Extension):
    """`{% generation %}`, which marks what the assistant says: here it is what stands in it."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own form

    def parse(self, parser: Any) -> Any:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


TOKENS = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), "")  # of a model without them


class Template:
    """A template with the names that it may use, such as bos_token."""

    def __init__(self, source: str, names: Mapping[str, str]) -> None:
        self.source = source
        self.names = dict(names)
        self.compiled: Any = guarded(lambda: environment().from_string(source))

    def render(self, turns: Turns, opened: bool = True) -> str:
        """A conversation as text; `opened` for the assistant to go on from."""
        told = {"messages": [dict(turn) for turn in turns], "tools": None, "documents": None}
        known = {**UNTHINKING, **TOKENS, **self.names, **told, "add_generation_prompt": opened}
        return str(guarded(lambda: self.compiled.render(**known)))


def guarded(act: Callable[[], Any]) -> Any:
    """What a template gives; whatever it raises is a refusal: it is a program of the model's maker."""
    try:
        return act()
    except jinja2.TemplateSyntaxError as error:
        raise RefusalError(f"line {error.lineno}: {error.message}") from error
    except jinja2.TemplateError as error:
        raise RefusalError(str(error).strip() or type(error).__name__) from error
    except Exception as error:
        raise RefusalError(f"{type(error).__name__}: {error}".strip(": ")) from error


def environment() -> Any:
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
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
    """Without Jinja's escapes of HTML, which no model was trained on."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
