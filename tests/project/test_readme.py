"""What the README says is so: generated parts are current, paths exist, commands parse."""

import re
import shlex
from pathlib import Path

import pytest

from mtchat.cli import arguments
from tests.readme import PARTS, README, ROOT

TEXT = README.read_text(encoding="utf-8")


@pytest.mark.parametrize("part", PARTS)
def test_a_generated_part_is_what_the_code_gives(part: str) -> None:
    made = PARTS[part]()
    assert f"<!-- {part} -->\n{made}\n<!-- end -->" in TEXT, "make docs renews README.md"


def test_every_path_of_the_tree_exists_and_every_room_is_in_it() -> None:
    block = re.search(r"```\nmtchat/\n(.*?)```", TEXT, re.DOTALL)
    assert block is not None
    named = set()
    for line in block[1].splitlines():
        match = re.match(r"(  )?([\w./]+)", line)
        if match is None:
            continue
        path = Path("mtchat", match[2]) if match[1] else Path(match[2])
        assert (ROOT / path).exists(), f"the README's tree names {path}"
        named.add(path)
    rooms = {
        path.relative_to(ROOT)
        for path in (ROOT / "mtchat").iterdir()
        if path.name not in ("__pycache__", "py.typed", "__init__.py")
    }
    assert rooms <= named


def test_every_command_line_of_the_readme_parses() -> None:
    blocks = re.findall(r"^```\n(mtchat .*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("mtchat ") for block in blocks for line in block.splitlines()]
    assert lines
    for line in lines:
        arguments.parse(shlex.split(re.split(" [<>] ", line)[0]))
