"""The exact context of each family: golden files, `<case>.json` what was said, `<case>.txt` what is read.

A chat's messages are joined as ChatML, the template of Qwen2.5; the model's own tokenizer has the last word
on that in a test marked `model`.
"""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import platformdirs
import pytest

from mtchat import plugins
from mtchat.generate.prompt.families import codegen, instruct
from mtchat.generate.prompt.families.instruct import EXAMPLES
from mtchat.generate.prompt.family import FAMILIES, WORKED, choose, load
from mtchat.session.language import parse_language
from mtchat.session.prompt import ModelCard, Prompt
from mtchat.session.provenance import ProvenanceRecord, provenance_of
from mtchat.session.turn import KEPT, Turn
from tests import CASES

CONTEXTS = CASES / "prompting"
STORIES = sorted(CONTEXTS.glob("*.json"))
SMALL = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"


def rendered(story: Path) -> Prompt:
    """The context of a case; one without an instruction asks to repair the last turn."""
    case = json.loads(story.read_text(encoding="utf-8"))
    language = parse_language(case.get("language", "python"))
    family, preamble, error = load(case["family"], language), case.get("preamble", ""), case.get("error", "")
    path = tuple(
        Turn(
            each["instruction"],
            each["chunk"],
            provenance=provenance_of(
                ProvenanceRecord(error=each.get("error", ""), mends=each.get("mends", ""))
            ),
        )
        for each in case["path"]
    )
    if "instruction" in case:
        return family.render(path, case["instruction"], preamble, error)
    return family.repair(path, preamble, error)


def chatml(prompt: Prompt) -> str:
    said = "".join(f"<|im_start|>{each.role}\n{each.content}<|im_end|>\n" for each in prompt.messages)
    return f"{said}<|im_start|>assistant\n{prompt.opening}"


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_the_context_is_the_one_of_the_golden_file(story: Path):
    prompt = rendered(story)
    text = chatml(prompt) if prompt.messages else prompt.text
    assert text == story.with_suffix(".txt").read_bytes().decode("utf-8")


def test_every_family_has_golden_files_and_no_file_lacks_its_other_half():
    told = {json.loads(story.read_text(encoding="utf-8"))["family"] for story in STORIES}
    assert told == set(plugins.names(FAMILIES))
    assert {story.stem for story in STORIES} == {text.stem for text in CONTEXTS.glob("*.txt")}


@pytest.mark.model
def test_the_chat_of_the_golden_files_is_what_the_models_own_template_gives():
    cache = platformdirs.user_cache_path("mtchat", appauthor=False)
    gguf = cache / "models" / SMALL
    if not gguf.is_file():
        pytest.skip(f"no starter-small at {gguf}; mtchat models get starter-small fetches it")
    from mtchat.inference.loaders import loader

    engine = loader.load(gguf, "starter-small", cache=cache / "converted", report=lambda stage, part: None)
    chats = [prompt for prompt in map(rendered, STORIES) if prompt.messages]
    assert [engine.text(prompt) for prompt in chats] == [chatml(prompt) for prompt in chats]


@pytest.mark.parametrize(
    ("card", "family"),
    [
        (ModelCard("starter", "Qwen2ForCausalLM", chat=True), "instruct"),
        (ModelCard("Salesforce/codegen-350M-mono", "CodeGenForCausalLM"), "codegen"),
        (ModelCard("a base model", "LlamaForCausalLM"), "codegen"),
        (ModelCard("nothing known"), "codegen"),
    ],
)
def test_a_model_gets_the_family_of_its_kind(card: ModelCard, family: str):
    assert choose(card) == family


def test_a_base_model_reads_text_and_a_chat_model_messages():
    assert codegen.render((), "add", "", "").messages == ()
    assert instruct.render((), "add", "", "").text == ""


def test_a_base_models_context_goes_on_from_one_turn_to_the_next():
    """So the key/value cache of one turn serves the next: nothing that was read is ever said otherwise."""
    first = codegen.render((), "define x", "import os", "").text
    second = codegen.render((Turn("define x", "x = 1"),), "print x", "import os", "").text
    assert second == f"{first}x = 1\n\n# print x\n"


def test_a_chats_messages_go_on_from_one_turn_to_the_next():
    first = instruct.render((), "define x", "import os", "")
    second = instruct.render((Turn("define x", "x = 1"),), "print x", "import os", "")
    assert second.messages[: len(first.messages)] == first.messages
    assert second.messages[len(first.messages)].content.startswith(first.opening)


@pytest.mark.parametrize("name", ["codegen", "instruct"])
def test_a_context_says_nothing_of_how_a_turn_came_by_its_code(name: str):
    family = load(name)
    made, carried = Turn("define x", "x = 1"), Turn("define x", "x = 1", parent="other", status=KEPT)
    assert family.render((made,), "print x", "", "") == family.render((carried,), "print x", "", "")


def test_every_line_of_an_instruction_is_a_comment_to_a_base_model():
    text = codegen.render((), "add:\n\n  one\n  two", "", "turn 1: it\nfails").text
    assert all(line.startswith("#") for line in text.splitlines())
    assert codegen.cut(text).code == ""


STEP = Turn("set x", "x = 1")


def test_worked_examples_go_before_the_users_own_conversation():
    plain = instruct.render((STEP,), "show x", "y = 0\n", "").messages
    guided = instruct.render((STEP,), "show x", "y = 0\n", "", (WORKED,)).messages
    assert (guided[0], guided[-5:]) == (plain[0], plain[-5:])
    shown = guided[1:-5]
    assert [message.role for message in shown] == ["user", "assistant"] * (len(shown) // 2)
    steps = [step for steps in EXAMPLES for step in steps]
    assert all(any(step.instruction == message.content for message in shown) for step in steps)


def test_the_worked_examples_run_and_print_only_what_they_are_asked_for():
    for steps in EXAMPLES:
        names: dict[str, object] = {}
        for step in steps:
            said = io.StringIO()
            with redirect_stdout(said):
                exec(step.code, names)
            speaks = any(word in step.instruction.lower() for word in ("print", "return"))
            assert bool(said.getvalue()) == speaks, step


def test_a_base_model_gets_no_worked_examples():
    assert codegen.render((STEP,), "show x", "", "", (WORKED,)) == codegen.render((STEP,), "show x", "", "")


def test_a_new_program_is_begun_where_there_is_no_preamble():
    contents = [message.content for message in instruct.render((), "show x", "", "", (WORKED,)).messages]
    assert contents[-3:] == ["Begin the program.", instruct.fence("import sys"), "show x"]
