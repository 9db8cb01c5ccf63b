"""Which backend is chosen: if bubblewrap is missing or forbidden, and if no sandbox works."""

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest

from mtchat.errors import SandboxError
from mtchat.sandbox.backend import Backend, LaunchCommand, LaunchRequest, Variant, backends
from mtchat.sandbox.backends import bubblewrap, landlock, seatbelt
from mtchat.sandbox.host import run_dir
from mtchat.sandbox.host.execute import BackendChoice, NoSandbox, choose, run_in
from mtchat.sandbox.host.interpreter import GUEST, Interpreter, find_interpreter
from mtchat.sandbox.host.run_dir import RunFolders
from mtchat.session.program import Chunk, Program
from mtchat.session.settings import Limits

pytestmark = pytest.mark.sandbox
LIMITS = Limits(seconds=20.0)
ROOT = os.geteuid() == 0


def backend(module: ModuleType) -> Backend:
    return cast(Backend, module)


@pytest.fixture(scope="module")
def bwrap() -> Path:
    """A bubblewrap that works here."""
    found = choose((backend(bubblewrap),))
    if not found.probe.ok or found.probe.tool is None:
        pytest.skip(f"no bubblewrap works here: {found.probe.reason}")
    return found.probe.tool


@pytest.fixture(scope="module")
def reduced() -> None:
    found = choose((backend(landlock),))
    if not found.probe.ok:
        pytest.skip(f"no Landlock here: {found.probe.reason}")


def script(folder: Path, body: str) -> Path:
    """A program in bubblewrap's place."""
    path = folder / "bwrap"
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {{ echo bubblewrap 0.11.0; exit; }}\n{body}\n')
    path.chmod(0o755)
    return path


def using(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    monkeypatch.setattr(bubblewrap, "candidates", lambda: paths)


NAMESPACE = "bwrap: No permissions to create a new namespace, likely because the kernel does not allow it"
UID_MAP = "bwrap: setting up uid map: Permission denied"
REFUSALS = [
    (NAMESPACE, "allow user namespaces: in a container, use --security-opt seccomp=unconfined"),
    (UID_MAP, "AppArmor restricts user namespaces"),
    ("bwrap: Can't find source path /x: Permission denied", "where your user can read them"),
]


@pytest.mark.parametrize(("said", "fix"), REFUSALS)
def test_where_bubblewrap_is_forbidden_the_reduced_sandbox_is_taken_and_says_why(
    said: str, fix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reduced: None
) -> None:
    using(monkeypatch, script(tmp_path, f'echo "{said}" >&2; exit 1'))
    found = choose(backends())
    assert (found.probe.ok, found.probe.tier, found.probe.reason) == (True, "landlock (reduced)", said)
    assert fix in found.probe.fix
    assert found.probe.warning.startswith(
        f"programs run in a reduced sandbox, landlock (reduced): {said}; for the"
    )
    assert found.probe.unavailable_reason == ""
    assert run_in(found, Program((Chunk(1, "print(1)"),)), LIMITS).tier == "landlock (reduced)"


def test_where_bubblewrap_is_missing_the_reduced_sandbox_is_taken_and_says_why(
    monkeypatch: pytest.MonkeyPatch, reduced: None
) -> None:
    using(monkeypatch)
    found = choose(backends())
    assert found.probe.tier == "landlock (reduced)"
    assert found.probe.reason == "bubblewrap 0.8 or newer is not installed (found: none)"
    assert "apt install bubblewrap" in found.probe.warning


def test_an_old_bubblewrap_counts_as_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "bwrap"
    old.write_text("#!/bin/sh\necho bubblewrap 0.4.1\n")
    old.chmod(0o755)
    using(monkeypatch, old)
    with pytest.raises(SandboxError, match=rf"not installed \(found: {old} is 0\.4\.1\); install bubblewrap"):
        bubblewrap.variants()


def test_a_masked_proc_is_done_without_and_is_no_lesser_tier(
    bwrap: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a container: whoever asks for /proc is refused with bubblewrap's own words."""
    refusal = "bwrap: Can't mount proc on /newroot/proc: Operation not permitted"
    check = (
        f'for word; do [ "$word" = --proc ] && {{ echo "{refusal}" >&2; exit 1; }}; done\nexec {bwrap} "$@"'
    )
    using(monkeypatch, script(tmp_path, check))
    found = choose(backends())
    assert (found.probe.ok, found.probe.tier, found.probe.warning) == (True, "bwrap", "")
    assert found.variant is not None
    assert bubblewrap.PROC in found.variant.without
    assert not found.variant.checkpoints
    outcome = run_in(found, Program((Chunk(1, "import os\nprint(os.path.exists('/proc/self'))"),)), LIMITS)
    assert (outcome.stdout, outcome.error) == ("False\n", "")


def test_the_strongest_tier_has_nothing_to_say(bwrap: Path) -> None:
    found = choose(backends())
    assert (found.probe.tier, found.probe.reason, found.probe.warning) == ("bwrap", "", "")


class Absent:
    """A backend that has nothing to try."""

    RANK = 1

    def variants(self) -> tuple[Variant, ...]:
        raise SandboxError("it is not here; fetch it")

    @contextmanager
    def prepare(self, variant: Variant, request: LaunchRequest) -> Iterator[LaunchCommand]:
        yield LaunchCommand(())

    def explain(self, wrote: str) -> tuple[str, str]:
        return "", ""


def test_where_nothing_works_the_refusal_names_the_last_resort_and_nothing_runs() -> None:
    found = choose((Absent(), Absent()))
    assert not found.probe.ok
    assert found.probe.unavailable_reason.startswith(
        "it is not here; fetch it. As a last resort, --unsafe-no-sandbox"
    )
    with pytest.raises(
        SandboxError, match=r"no sandbox works on this machine: it is not here; fetch it\. .*--unsafe-no"
    ):
        run_in(found, Program((Chunk(1, "print(1)"),)), LIMITS)


def test_nothing_is_unsafe_by_itself() -> None:
    assert not any(isinstance(each, NoSandbox) for each in backends())
    assert all(each.RANK < NoSandbox.RANK for each in backends())


@pytest.fixture
def bare() -> BackendChoice:
    found = choose((NoSandbox(),))
    if not found.probe.ok:
        pytest.skip(f"programs cannot be run even without a sandbox: {found.probe.reason}")
    return found


def test_without_a_sandbox_the_tier_says_so_and_limits_stay(
    bare: BackendChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAIT_TOKEN", "bait")
    assert bare.probe.tier == "NO SANDBOX"
    seen = run_in(
        bare,
        Program((Chunk(1, "import os\nprint(os.path.exists('/etc/passwd'), 'BAIT_TOKEN' in os.environ)"),)),
        LIMITS,
    )
    assert (seen.stdout, seen.tier) == ("True False\n", "NO SANDBOX")
    endless = Program((Chunk(1, "import os\nif os.fork() == 0: os.setsid()\nwhile True: pass"),))
    assert run_in(bare, endless, Limits(seconds=0.5)).limit == "seconds"


def test_without_a_sandbox_processes_are_counted_even_for_root(bare: BackendChoice) -> None:
    """No bomb: forks that stop at 300 by themselves meet the limit first."""
    count = (
        "import os, signal\ncount = 0\nwhile count < 300:\n    try:\n"
        "        if os.fork() == 0: signal.pause()\n    except OSError: break\n    count += 1\nprint(count)"
    )
    assert 10 < int(run_in(bare, Program((Chunk(1, count),)), LIMITS).stdout) < 64


def test_roots_programs_read_a_python_that_is_shut_to_others(
    tmp_path: Path, bwrap: Path, reduced: None
) -> None:
    """In both sandboxes, by an environment of its own whose library is for root alone."""
    if not ROOT:
        pytest.skip("only root's programs become another user")
    place = tmp_path / "shut"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    packages = next(place.glob("lib/python*/site-packages"))
    (packages / "treasure.py").write_text("x = 5\n")
    packages.parent.chmod(0o700)
    asks = (
        "from mtchat.session.program import Chunk, Program\nfrom mtchat.session.settings import Limits\n"
        "from mtchat.sandbox.backends import bubblewrap, landlock\n"
        "from mtchat.sandbox.host.execute import choose, run_in\n"
        "code = 'import treasure, os\\nprint(treasure.x, os.getuid() > 0)\\n'\n"
        'code += \'for path in ("/root/.ssh", "/etc/shadow"):\\n\'\n'
        "code += '    try: open(path)\\n    except OSError: print(\"refused\")\\n'\n"
        "code += 'try: os.setuid(0)\\nexcept OSError: print(\"refused\")'\n"
        "for module in (bubblewrap, landlock):\n    found = choose((module,))\n"
        "    outcome = run_in(found, Program((Chunk(1, code),)), Limits(20.0))\n"
        "    print(found.probe.tier, sorted(found.variant.without), outcome.error, outcome.stdout.split())"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([place / "bin" / "python", "-c", asks], capture_output=True, text=True, env=environ)
    said = "['5', 'True', 'refused', 'refused', 'refused']"
    ways = sorted([bubblewrap.USER_NAMESPACE, bubblewrap.MODES, bubblewrap.PROC])
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == f"bwrap {ways}  {said}"
    assert done.stdout.splitlines()[1] == f"landlock (reduced) []  {said}"


def test_a_python_that_all_may_read_needs_no_capability(monkeypatch: pytest.MonkeyPatch, bwrap: Path) -> None:
    using(monkeypatch, bwrap)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for readable, without in ((True, {bubblewrap.USER_NAMESPACE}), (False, {*bubblewrap_all()})):
        python = type("Python", (), {"readable": readable})
        monkeypatch.setattr(bubblewrap, "find_interpreter", lambda python=python: python)
        first = bubblewrap.variants()[0]
        assert first.without == without
        assert first.checkpoints == readable
    assert len(bubblewrap.variants()) == 1


def bubblewrap_all() -> tuple[str, ...]:
    return bubblewrap.USER_NAMESPACE, bubblewrap.MODES, bubblewrap.PROC


def test_only_a_reader_is_given_the_right_to_read() -> None:
    ways: dict[bool, Sequence[str]] = {False: [bubblewrap.USER_NAMESPACE], True: bubblewrap_all()}
    for reads, without in ways.items():
        variant = Variant("bwrap", Path("/usr/bin/bwrap"), without=frozenset(without))
        words = bubblewrap.arguments(variant, LaunchRequest(3, 4, LIMITS), 5, 6)
        assert ("CAP_DAC_READ_SEARCH" in words) == reads
        assert ("--proc" in words) != reads


PYTHON = Interpreter("/opt/py/bin/python3", "/opt/py", (Path('/opt/p"y'),), ())
MADE = RunFolders(Path("/private/r/work"), Path("/private/r/tmp"), Path("/private/r/code"))
PROFILE = f"""(version 1)
(deny default)
(allow process-fork)
(allow process-exec)
(allow signal (target same-sandbox))
(allow sysctl-read)
(allow file-read-metadata)
(allow file-read* (subpath "/usr/lib") (subpath "/usr/bin") (subpath "/usr/share") (subpath "/bin") \
(subpath "/System") (subpath "/Library/Frameworks") (subpath "/private/etc/localtime") \
(subpath "/opt/p\\"y") (subpath "/private/r/code") (subpath "{GUEST}"))
(allow file-read* file-write* (subpath "/private/r/work") (subpath "/private/r/tmp"))
(allow file-read* file-write-data (literal "/dev/null") (literal "/dev/zero") (literal "/dev/random") \
(literal "/dev/urandom"))
(deny network*)"""


def test_the_profile_for_macos_denies_all_but_this() -> None:
    assert seatbelt.profile(PYTHON, MADE) == PROFILE


def test_the_command_line_for_macos_starts_with_the_profile() -> None:
    words = seatbelt.arguments(PYTHON, MADE, LaunchRequest(3, 4, LIMITS))
    assert words[:3] == ("/usr/bin/sandbox-exec", "-p", PROFILE)
    assert words[3:7] == ("/opt/py/bin/python3", "-s", "-P", "-S")
    assert "from mtchat.sandbox.guest.launch.launcher import launch_in_session\n" in words[-1]
    assert "launch_in_session(3, 4, *('/private/r/work',))" in words[-1]


@pytest.mark.skipif(sys.platform == "darwin", reason="what other systems say")
def test_off_macos_its_sandbox_is_not_there() -> None:
    with pytest.raises(SandboxError, match="only on macOS; install bubblewrap"):
        seatbelt.variants()


class Unheld:
    """The launcher for macOS with nothing around it."""

    RANK = 1

    def variants(self) -> tuple[Variant, ...]:
        return (Variant("unheld"),)

    @contextmanager
    def prepare(self, variant: Variant, request: LaunchRequest) -> Iterator[LaunchCommand]:
        with run_dir.make_run_dir() as where:
            words = find_interpreter().arguments(
                str(where.folders.code),
                request.control,
                request.shared,
                seatbelt.LAUNCHER,
                (str(where.folders.work),),
            )
            yield LaunchCommand(words, {"HOME": str(where.folders.work)}, (request.control, request.shared))

    def explain(self, wrote: str) -> tuple[str, str]:
        return wrote, ""


SESSION: list[tuple[str, Callable[[str, str, str], bool]]] = [
    ("print(1)", lambda out, error, limit: (out, error) == ("1\n", "")),
    ("1 / 0", lambda out, error, limit: error.startswith("turn 1, line 1: ZeroDivisionError")),
    (
        "import os, time\nif os.fork() == 0: time.sleep(60)\nprint(1)",
        lambda out, error, limit: (out, error) == ("1\n", ""),
    ),
    ("import os\nos.fork()\nwhile True: pass", lambda out, error, limit: limit == "seconds"),
]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
@pytest.mark.parametrize(("code", "holds"), SESSION)
def test_the_launcher_for_macos_runs_a_program_and_ends_its_group(
    code: str, holds: Callable[[str, str, str], bool]
) -> None:
    limits = Limits(seconds=1.0 if "while True" in code else 20.0)
    outcome = run_in(choose((Unheld(),)), Program((Chunk(1, code),)), limits)
    assert holds(outcome.stdout, outcome.error, outcome.limit), outcome
    until = time.monotonic() + 10
    while (left := [name for name in os.listdir("/proc") if name.isdecimal() and is_ours(name)]) and (
        time.monotonic() < until
    ):
        time.sleep(0.01)
    assert left == []


def is_ours(pid: str) -> bool:
    """Whether a process is a launcher for macOS, or what it forked."""
    try:
        return f"mtchat-{os.getpid()}-" in Path("/proc", pid, "cmdline").read_text()
    except OSError:
        return False


def test_a_private_folder_is_private() -> None:
    with run_dir.make_run_dir() as where:
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (where.folders.work, where.folders.scratch)]
        top = where.folders.work.parent.stat()
    assert modes == [0o700, 0o700]
    assert stat.S_IMODE(top.st_mode) == (0o711 if ROOT else 0o700)
