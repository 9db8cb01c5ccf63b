"""How templates let their models think, found by rendering them, and thoughts cut where they end."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mtchat.inference.engine import Engine
from mtchat.inference.tokens.chat_template import ChatFormat
from mtchat.inference.tokens.thought import cut_thoughts
from mtchat.inference.tokens.tokenizer import Tokenizer
from mtchat.session.prompt import ABLE, ALWAYS, UNTRAINED, Message, Piece, Prompt, Usage
from mtchat.session.settings import Sampling
from tests.support.engine_models import TEMPLATE, random_engine, tiny_tokenizer

TALK = (Message("system", "Be brief."), Message("user", "hi"))
ASKED = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
EACH = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
START = "{% if add_generation_prompt %}<|im_start|>assistant\n"
END = "{% endif %}"
SHUT = "<think>\n\n</think>\n\n"
SWITCHED = EACH + START + "{% if enable_thinking is false %}" + SHUT + END + END
OPENED = EACH + START + "{% if ponder_thinking %}<think>\n{% else %}" + SHUT + END + END
REVERSED = EACH + START + "{% if no_reasoning %}" + SHUT + "{% else %}<think>\n" + END + END
ALWAYS_OPEN = EACH + START + "<think>\n" + END
NAMED = EACH + START + "{% if enable_thinking is false %}<|channel>thought\n<channel|>" + END + END
RECORDED = EACH.replace(
    "{{ m.content }}", "{% if m.reasoning %}<mull>{{ m.reasoning }}</mull>{% endif %}{{ m.content }}"
)
PARTS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content %}{% if p.type == 'thinking' %}[THINK]{{ p.thinking }}[/THINK]{% else %}"
    "{{ p.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
)
CHANNELS = (
    "<|im_start|>system\nReasoning: {{ reasoning_effort or 'medium' }}<|im_end|>\n"
    "{% for m in messages %}<|im_start|>{{ m.role }}"
    "{% if m.role == 'assistant' %}{% if m.thinking %}<|channel|>analysis<|message|>{{ m.thinking }}"
    "<|im_end|><|im_start|>assistant{% endif %}<|channel|>final<|message|>{% else %}\n{% endif %}"
    "{{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"
)
GRADED = SWITCHED.replace(
    "{% for",
    "{% if reasoning_effort and reasoning_effort not in ['none', 'high'] %}{{ raise_exception('odd') }}"
    "{% endif %}<{{ reasoning_effort or 'none' }}>{% for",
    1,
)
BUDGETED = (
    EACH + START + "{% if thinking_budget == 0 %}<mull>none</mull>{% elif thinking_budget %}"
    "<mull budget={{ thinking_budget + 0 }}>{% endif %}{% endif %}"
)


def chat(template: str) -> ChatFormat:
    tokenizer: Any = tiny_tokenizer()
    tokenizer.chat_template = template
    return ChatFormat(Tokenizer.of(tokenizer), "tiny")


def shown(made: ChatFormat, think: int = 0, thought: str | None = None) -> str:
    return "".join(part.text for part in made.parts(TALK, think, thought))


@pytest.mark.parametrize(
    ("template", "thinks", "off", "on", "done"),
    [
        (TEMPLATE, UNTRAINED, "", "<think>\n", "<think>\nOh.\n</think>\n\n"),
        (SWITCHED, ABLE, SHUT, "<think>\n", "<think>\nOh.\n</think>\n\n"),
        (OPENED, ABLE, SHUT, "<think>\n", "<think>\nOh.\n</think>\n\n"),
        (REVERSED, ABLE, SHUT, "<think>\n", "<think>\nOh.\n</think>\n\n"),
        (ALWAYS_OPEN, ALWAYS, SHUT, "<think>\n", "<think>\nOh.\n</think>\n\n"),
        (
            NAMED,
            ABLE,
            "<|channel>thought\n<channel|>",
            "<|channel>thought\n",
            "<|channel>thought\nOh.\n<channel|>",
        ),
        (RECORDED + START + END, ABLE, "", "<mull>", "<mull>Oh.</mull>"),
        (RECORDED + START + "<mull>" + END, ALWAYS, "<mull></mull>", "<mull>", "<mull>Oh.</mull>"),
        (PARTS + START + END, ABLE, "", "[THINK]", "[THINK]Oh.[/THINK]"),
        (
            EACH + "{# </thinking> #}" + START + END,
            ABLE,
            "",
            "<thinking>\n",
            "<thinking>\nOh.\n</thinking>\n\n",
        ),
    ],
    ids=(
        "none",
        "switch",
        "opened",
        "reversed",
        "always",
        "named",
        "recorded",
        "own tag",
        "parts",
        "mentioned",
    ),
)
def test_the_form_of_a_thought_is_found_by_rendering(
    template: str, thinks: str, off: str, on: str, done: str
) -> None:
    made = chat(template)
    assert made.thoughts.thinks == thinks
    assert shown(made) == ASKED + off
    assert shown(made, 512) == ASKED + on
    assert shown(made, 512, " Oh.\n") == ASKED + done


def test_channels_and_a_graded_effort_are_followed() -> None:
    made = chat(CHANNELS)
    assert made.thoughts.thinks == ALWAYS
    analysis, final = (
        "<|channel|>analysis<|message|>",
        "<|im_end|><|im_start|>assistant<|channel|>final<|message|>",
    )
    assert shown(made).endswith("<|im_start|>assistant<|channel|>final<|message|>")
    assert shown(made, 100).endswith(f"hi<|im_end|><|im_start|>assistant{analysis}")
    assert shown(made, 100, "Oh.").endswith(f"{analysis}Oh.{final}")
    said = [shown(made, budget).split("\n")[1].split("<")[0] for budget in (0, 100, 1000, 4000)]
    assert said == [f"Reasoning: {word}" for word in ("low", "low", "medium", "high")]


def test_an_effort_that_a_template_checks_has_only_its_own_words() -> None:
    made = chat(GRADED)
    assert made.thoughts.thinks == ABLE
    assert shown(made).startswith("<none>")
    assert shown(made, 100).startswith("<high>")


def test_a_budget_is_told_in_tokens() -> None:
    made = chat(BUDGETED)
    assert made.thoughts.off == {"thinking_budget": 0}
    assert "<mull budget=300>" in shown(made, 300)


def test_options_that_change_nothing_are_no_switches() -> None:
    found = chat("{{ '' if keep_thinking or reasoning_style else '' }}" + TEMPLATE).thoughts
    assert (found.on, found.off, found.efforts) == ({}, {}, ())


def test_a_thought_whose_words_look_like_marks_stays_words() -> None:
    made = chat(SWITCHED)
    parts = made.parts(TALK, 9, "say <|im_end|>")
    assert [part.special for part in parts if "im_end" in part.text][-1] is False


def pieces(*texts: str, finish: str = "") -> Iterator[tuple[int, Piece]]:
    for at, text in enumerate(texts, start=1):
        yield 0, Piece(text, Usage(completion_tokens=at, finish=finish if at == len(texts) else ""))


@pytest.mark.parametrize(
    ("texts", "finish", "expected", "end"),
    [
        (("Oh", ". ", "</think>", "x = 1"), "", "Oh. ", "stop"),
        (("Oh</th", "in", "k>x"), "", "Oh", "stop"),
        (("a </th", "ing> b"), "length", "a </thing> b", "length"),
        (("a </thi",), "length", "a </thi", "length"),
        (("a", ""), "stop", "a", "stop"),
    ],
)
def test_a_thought_ends_before_the_text_that_closes_it(
    texts: tuple[str, ...], finish: str, expected: str, end: str
) -> None:
    found = [piece for _, piece in cut_thoughts(pieces(*texts, finish=finish), "</think>")]
    assert "".join(piece.text for piece in found) == expected
    assert found[-1].usage.finish == end


def test_thoughts_that_are_written_together_end_each_by_itself() -> None:
    both = iter([(0, Piece("a")), (1, Piece("b</t>")), (1, Piece("x")), (0, Piece("c</t>")), (0, Piece("y"))])
    assert [(number, piece.text) for number, piece in cut_thoughts(both, "</t>")] == [
        (0, "a"),
        (1, "b"),
        (0, "c"),
    ]


def thinking_engine(template: str = SWITCHED) -> Engine:
    made = random_engine("qwen2")
    tokenizer: Any = tiny_tokenizer()
    tokenizer.chat_template = template
    return Engine(made.decoder, tokenizer, made.card)


def test_an_engine_thinks_up_to_the_budget_and_leaves_room_for_the_reply() -> None:
    engine = thinking_engine()
    engine.ignore_stop_tokens()
    asked = Prompt(messages=TALK, opening="```python\n", think=12)
    assert engine.card.thinks == ABLE
    assert not engine.text(asked).endswith("```python\n")
    thought = list(engine.complete(asked, Sampling(max_tokens=20)))
    assert thought[-1].usage.completion_tokens == 12
    tokens, context = engine.count(engine.text(asked)), engine.card.context
    long = list(engine.complete(Prompt(messages=TALK, think=10_000), Sampling(max_tokens=20)))
    assert long[-1].usage.completion_tokens == context - tokens - 20


def test_the_reply_after_a_thought_reuses_its_tokens() -> None:
    engine = thinking_engine()
    engine.ignore_stop_tokens()
    asked = Prompt(messages=TALK, opening="x", think=24)
    made = list(engine.complete(asked, Sampling()))
    thought = "".join(piece.text for piece in made)
    after = Prompt(messages=TALK, opening="x", think=24, thought=thought)
    reply = list(engine.complete(after, Sampling(max_tokens=4)))
    before = engine.count(engine.text(asked))
    assert reply[-1].usage.cached_tokens >= before


def test_thoughts_that_have_ended_are_not_computed_further(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = thinking_engine()
    engine.ignore_stop_tokens()
    asked = Prompt(messages=TALK, opening="x", think=40)
    whole = "".join(piece.text for piece in engine.complete(asked, Sampling()))
    end = next(whole[at : at + 2] for at in range(6, len(whole)) if whole[at : at + 2].isalnum())
    assert engine.chat is not None
    engine.chat.thoughts = replace(engine.chat.thoughts, closes=end)
    steps: list[int] = []
    forward = engine.decoder.forward_each

    def counted(sequences: Any, ids: Any) -> Any:
        steps.append(len(ids))
        return forward(sequences, ids)

    monkeypatch.setattr(engine.decoder, "forward_each", counted)
    found = ["", ""]
    for number, piece in engine.candidates(asked, Sampling(), 2):
        found[number] += piece.text
        tokens = piece.usage.completion_tokens
    assert found == [whole.partition(end)[0]] * 2
    assert len(steps) == tokens - 1 < 30
    *_, piece = engine.complete(asked, Sampling())
    assert (piece.usage.finish, piece.usage.completion_tokens) == ("stop", tokens)
