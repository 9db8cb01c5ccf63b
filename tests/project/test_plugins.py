"""Extensions of an outside package: installed with pip, found by their entry points, used as our own are."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mtchat import plugins
from tests import CASES, ROOT

pytestmark = pytest.mark.slow

PLUGIN = CASES / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the example package."""
    source = tmp_path_factory.mktemp("source") / "plugin"
    shutil.copytree(PLUGIN, source)
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--target", str(folder))
    done = subprocess.run([*pip, *offline, str(source)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


def mtchat(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "XDG_DATA_HOME": str(folder / "data")}
    command = [sys.executable, "-m", "mtchat", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


def test_a_model_a_policy_and_a_command_of_another_package_are_used_by_their_names(
    installed: Path, tmp_path: Path
) -> None:
    done = mtchat(
        installed, tmp_path, "--model", "parrot", "--policy", "patient", "-p", "define x", "-p", "/shout !"
    )
    assert (done.returncode, done.stdout) == (0, "x = 1\n"), done.stderr
    assert "DEFINE X!" in done.stderr


def test_a_format_of_another_package_exports_sessions(installed: Path, tmp_path: Path) -> None:
    mtchat(installed, tmp_path, "--model", "parrot", "named", "-p", "define x")
    done = mtchat(installed, tmp_path, "export", "named", "--to", "shouted")
    assert done.returncode == 0, done.stderr
    assert "X = 1" in done.stdout + "".join(each.read_text() for each in tmp_path.glob("*.shout"))


def test_a_family_of_another_package_is_chosen_for_its_models(installed: Path, tmp_path: Path) -> None:
    asks = (
        "from mtchat.generate.prompt import family; from mtchat import ModelCard;"
        "print(family.choose(ModelCard('parrot', chat=True)), family.choose(ModelCard('other', chat=True)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", asks],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "parrots instruct\n", done.stderr


def test_the_doctor_and_the_list_of_models_name_other_packages(installed: Path, tmp_path: Path) -> None:
    assert "mtchat-hello 1.0" in mtchat(installed, tmp_path, "doctor").stdout
    assert "parrot" in mtchat(installed, tmp_path, "models").stdout


def test_a_broken_package_ends_nothing_and_is_named_where_it_is_asked_for(
    installed: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(installed, broken)
    for each in broken.glob("mtchat_*.py"):
        each.write_text("raise RuntimeError('not today')\n")
    done = mtchat(broken, tmp_path, "--model", "parrot", "-p", "define x")
    assert done.returncode == 3
    assert done.stderr == (
        "mtchat: parrot of mtchat-hello 1.0 cannot be loaded: not today; update or uninstall that package\n"
    )
    done = mtchat(broken, tmp_path, "--policy", "patient", "-p", "define x")
    assert "patient of mtchat-hello 1.0 cannot be loaded: not today" in done.stderr
    asked = mtchat(broken, tmp_path, "doctor").stdout
    assert asked.count("cannot be loaded: not today") == 5


def test_the_page_shows_the_example_as_it_is() -> None:
    page = (ROOT / "docs" / "extending.md").read_text("utf-8")
    assert (PLUGIN / "mtchat_hello.py").read_text("utf-8") in page
    declared = tomllib.loads((PLUGIN / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    for group in plugins.GROUPS:
        assert f"`{group}`" in page
        assert group in declared or group == "mtchat.backends"
