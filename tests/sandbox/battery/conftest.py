"""Gives each case its tier and its bait, checks what it leaves, and keeps the results for the table."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.sandbox.battery.bait import SECRET_NAME, Bait
from tests.sandbox.battery.leaks import nothing_left
from tests.sandbox.battery.table import DOCUMENT, Results, document
from tests.sandbox.battery.tiers import BACKENDS, Tier, tier

RESULTS = pytest.StashKey[Results]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--battery-table", action="store_true", help=f"write {DOCUMENT.name} from what is seen")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember how each case ended in each arm."""
    report = yield
    case = getattr(item, "callspec", None)
    arm = getattr(getattr(item, "function", None), "arm", None)
    if case is None or arm is None or (report.when != "call" and report.passed):
        return report
    subject = case.params.get("row") or case.params.get("work")
    name = (str(subject), case.params.get("name", arm))
    reason = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
    result = f"skipped: {reason}" if report.skipped else "held" if report.passed else "escaped"
    if hasattr(report, "wasxfail"):
        result = f"known hole: {report.wasxfail}"
    item.config.stash[RESULTS][name] = result
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("battery_table", False):
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(document(session.config.stash[RESULTS]), encoding="utf-8")


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Results:
    return request.config.stash[RESULTS]


@pytest.fixture(scope="session")
def bait(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bait]:
    """One set of bait for all cases, a secret in the environment, and a temporary folder of our own."""
    folder = tmp_path_factory.mktemp("bait")
    temporary = tmp_path_factory.mktemp("temporary")
    with ExitStack() as stack:
        made = Bait(folder, stack)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv(SECRET_NAME, made.secret)
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr(tempfile, "tempdir", None)
        yield made


@pytest.fixture(params=BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def here(name: str, bait: Bait) -> Tier:
    """The tier that a case runs in, on a machine where it works."""
    found = tier(name)
    if found.choice is None:
        pytest.skip(f"{name} does not work here: {found.reason}")
    return found


@pytest.fixture
def untouched(bait: Bait) -> Iterator[None]:
    """What a contained case must leave: nothing of its own, and the bait as it was."""
    bait.touched()
    with nothing_left():
        yield
        assert os.environ[SECRET_NAME] == bait.secret
    assert bait.touched() == frozenset()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A case's own folder, which another user may pass through."""
    tmp_path.chmod(0o755)
    return tmp_path
