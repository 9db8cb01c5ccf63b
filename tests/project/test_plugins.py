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
FAULTY = CASES / "plugin_faulty"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the example package."""
    folder = tmp_path_factory.mktemp("installed")
    install(PLUGIN, tmp_path_factory.mktemp("source") / "plugin", folder)
    return folder


@pytest.fixture(scope="module")
def faulty(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example package and one in which everything is wrong."""
    folder = tmp_path_factory.mktemp("faulty") / "installed"
    shutil.copytree(installed, folder)
    install(FAULTY, tmp_path_factory.mktemp("source") / "plugin_faulty", folder)
    return folder


def install(package: Path, source: Path, folder: Path) -> None:
    """Installs a copy of a package with pip, without a network."""
    shutil.copytree(package, source)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--target", str(folder))
    done = subprocess.run([*pip, *offline, str(source)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def mtchat(
    installed: Path, folder: Path, *arguments: str, debug: str = ""
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(installed),
        "XDG_DATA_HOME": str(folder / "data"),
        "MTCHAT_DEBUG": debug,
    }
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


def test_a_faulty_package_leaves_models_formats_and_commands_as_they_are(
    faulty: Path, tmp_path: Path
) -> None:
    done = mtchat(
        *(faulty, tmp_path, "--model", "parrot", "named"),
        *("-p", "define x", "-p", "/export x.md", "-p", "/help", "-p", "/shout !"),
    )
    assert (done.returncode, done.stdout) == (0, "x = 1\n"), done.stderr
    assert "DEFINE X!" in done.stderr
    assert "/boom" in done.stderr
    assert "/wrong" not in done.stderr
    assert "x = 1" in (tmp_path / "x.md").read_text("utf-8")
    done = mtchat(faulty, tmp_path, "export", "named", "-o", "z.py")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "z.py").read_text("utf-8").endswith("x = 1\n")
    (tmp_path / "begin.py").write_text("y = 2\n", "utf-8")
    done = mtchat(faulty, tmp_path, "import", "begin.py")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("boom", "failed: boom in a command"),
        ("forward", "failed: TypeError: do_forward() takes 1 positional argument but 2 were given"),
        ("wrong", "is function, but mtchat.commands takes a mtchat.Command"),
        ("absent", "cannot be loaded: there is no module mtchat_nothing"),
    ],
)
def test_a_faulty_command_is_one_line_that_names_its_package(
    faulty: Path, tmp_path: Path, name: str, why: str
) -> None:
    done = mtchat(faulty, tmp_path, "--model", "parrot", "-p", "define x", "-p", f"/{name}")
    assert done.returncode == 1
    assert f"mtchat: {name} of mtchat-faulty 0.1 {why}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_debug_variable_shows_where_a_package_failed(faulty: Path, tmp_path: Path) -> None:
    done = mtchat(faulty, tmp_path, "--model", "parrot", "-p", "/boom", debug="1")
    assert 'raise ValueError("boom in a command")' in done.stderr


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none", "none of mtchat-faulty 0.1 failed: load returned NoneType, which lacks card, complete"),
        ("unreadable", "unreadable of mtchat-faulty 0.1 failed: disk gone"),
        (
            "strings",
            "strings gave str in place of Piece; update or uninstall the package that offers this model",
        ),
        ("three", "three of mtchat-faulty 0.1 is int, but mtchat.models takes a function"),
        ("mute", "mute of mtchat-faulty 0.1 failed: cut returned str in place of Cut"),
    ],
)
def test_a_faulty_model_or_family_is_one_line_that_names_its_package(
    faulty: Path, tmp_path: Path, name: str, why: str
) -> None:
    done = mtchat(faulty, tmp_path, "--model", name, "-p", "define x")
    assert done.returncode in (1, 3)
    assert why in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("bad", "bad of mtchat-faulty 0.1 failed: KeyError: 'colour'"),
        ("endless", "endless of mtchat-faulty 0.1 lacks SUFFIX, but mtchat.formats takes a module"),
    ],
)
def test_a_faulty_format_is_one_line_that_names_its_package(
    faulty: Path, tmp_path: Path, name: str, why: str
) -> None:
    mtchat(faulty, tmp_path, "--model", "parrot", "named", "-p", "define x")
    done = mtchat(faulty, tmp_path, "export", "named", "--to", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"mtchat: {why}")
    assert "Traceback" not in done.stderr


def test_the_doctor_lists_every_fault_and_marks_only_good_packages_as_good(
    faulty: Path, tmp_path: Path
) -> None:
    report = mtchat(faulty, tmp_path, "doctor").stdout
    good = [line for line in report.splitlines() if line.startswith("✓") and "extensions" in line]
    assert len(good) == 1
    assert "mtchat-hello 1.0" in good[0]
    assert "mtchat-faulty" not in good[0]
    text = " ".join(report.split())
    for fault in (
        "wrong of mtchat-faulty 0.1 is function",
        "absent of mtchat-faulty 0.1 cannot be loaded",
        "undo of mtchat-faulty 0.1 is ignored: mtchat has undo itself",
        "'2nd' of mtchat-faulty 0.1 cannot be a name in mtchat.commands",
        "typo of mtchat-faulty 0.1 is ignored: mtchat has no group mtchat.command; did you mean mtchat.comm",
        "text of mtchat-faulty 0.1 is str, but mtchat.policies takes a mtchat.Policy",
        "three of mtchat-faulty 0.1 is int",
        "starter-small of mtchat-faulty 0.1 is ignored",
        "lacking of mtchat-faulty 0.1 lacks matches, cut",
        "raising of mtchat-faulty 0.1 failed: boom in matches",
        "endless of mtchat-faulty 0.1 lacks SUFFIX",
        "md of mtchat-faulty 0.1 is ignored: mtchat has md itself",
    ):
        assert fault in text


def test_completions_go_on_where_those_of_a_package_fail(faulty: Path, tmp_path: Path) -> None:
    asks = (
        "from prompt_toolkit.completion import CompleteEvent; from prompt_toolkit.document import Document;"
        "from mtchat.repl.completion import SlashCompleter; completer = SlashCompleter(lambda: None);"
        "at = lambda text: completer.get_completions(Document(text), CompleteEvent());"
        "complete = lambda text: [each.text for each in at(text)];"
        "print(complete('/boom '), 'md' in complete('/export '), 'endless' in complete('/export '))"
    )
    done = subprocess.run(
        [sys.executable, "-c", asks],
        env={**os.environ, "PYTHONPATH": str(faulty)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "[] True False\n", done.stderr


def test_the_page_shows_the_example_as_it_is() -> None:
    page = (ROOT / "docs" / "extending.md").read_text("utf-8")
    for name in ("mtchat_hello.py", "mtchat_parrots.py"):
        assert (PLUGIN / name).read_text("utf-8") in page
    declared = tomllib.loads((PLUGIN / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    for group in plugins.GROUPS:
        assert f"`{group}`" in page
        assert group in declared or group == "mtchat.backends"
