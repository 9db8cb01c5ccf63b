"""What the documents say is so: generated parts are current, paths and links exist, commands parse."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtchat.cli import arguments
from tests.readme import MANUAL, PARTS, README, ROOT, place_of

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
ARCHITECTURE = ROOT / "docs" / "architecture.md"


def read(document: Path) -> str:
    return document.read_text(encoding="utf-8")


@pytest.mark.parametrize("part", PARTS)
def test_a_generated_part_is_what_the_code_gives(part: str) -> None:
    made = PARTS[part]()
    assert f"<!-- {part} -->\n{made}\n<!-- end -->" in read(place_of(part)), "make docs renews it"


def test_every_path_of_the_tree_exists_and_every_room_is_in_it() -> None:
    block = re.search(r"```\nmtchat/\n(.*?)```", read(ARCHITECTURE), re.DOTALL)
    assert block is not None
    named = set()
    for line in block[1].splitlines():
        match = re.match(r"(  )?([\w./]+)", line)
        if match is None:
            continue
        path = Path("mtchat", match[2]) if match[1] else Path(match[2])
        assert (ROOT / path).exists(), f"the tree names {path}"
        assert path not in named, f"the tree names {path} twice"
        named.add(path)
    rooms = {
        path.relative_to(ROOT)
        for path in (ROOT / "mtchat").iterdir()
        if path.name not in ("__pycache__", "py.typed", "__init__.py")
    }
    assert rooms <= named


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_between_documents_leads_somewhere(document: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", read(document)):
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), f"{document.name} links to {target}"
        if anchor:
            assert anchor in anchors(read(path)), f"{document.name} links to {target}#{anchor}"


def anchors(text: str) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    named = re.findall(r"`((?:mtchat|tests|docs|evals|sessions|findings)/[\w./-]+)`", read(document))
    missing = [each for each in named if not (ROOT / each).exists() and "NAME" not in each]
    assert not missing


def command_lines() -> Iterator[str]:
    for document in (README, MANUAL, ROOT / "docs" / "benchmarks.md"):
        for block in re.findall(r"^```\n(mtchat .*?)^```", read(document), re.MULTILINE | re.DOTALL):
            yield from block.splitlines()


def test_every_command_line_of_the_documents_parses() -> None:
    lines = list(command_lines())
    assert len(lines) > 8
    for line in lines:
        arguments.parse(shlex.split(re.split(" [<>] ", line.removeprefix("mtchat "))[0]))


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len(read(README).splitlines()) < 200


# What a reader has to decode; docs/style.md shows what to write instead.
RIDDLES = re.compile(r"\b(told|anew|so many|of two minds|is had|laid out|gone on with|what there is)\b")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_has_no_words_that_a_reader_must_decode(document: Path) -> None:
    if document.name in ("style.md", "sandbox-battery.md"):
        pytest.skip("quotes them")
    assert not RIDDLES.findall(read(document))
