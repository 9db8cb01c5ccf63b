"""Cases 46-66: writing outside, filling the disk, and leaving traps for whoever collects the files."""

import os
import stat
from pathlib import Path

from mtchat.sandbox.host.collect import MAX_FILES
from mtchat.session.outcome import Outcome
from tests.sandbox.battery.row import Control, Expect, Row, escapes, no_control, row, says, stopped

OUTSIDE = """\
for path in PATHS:
    attempt('write', os.open, path, os.O_WRONLY | os.O_CREAT)
"""
EVERYWHERE = (
    "(bait.folder + '/x', '/usr/x', '/etc/x', '/x', '/dev/x', '/lib/x', '/run/mtchat/x', sys.prefix + '/x')"
)

UNTOUCHED_USER = """\
import shutil, subprocess
source = shutil.which('id')
shutil.copyfile(source, 'i')
effort('mode', os.chmod, 'i', 0o4755)
can = os.access('i', os.X_OK)
told = subprocess.run(['./i' if can else source, '-u'], capture_output=True, text=True).stdout.strip()
print('user: same' if told == str(os.getuid()) else 'ESCAPED user')
NO_NEW_PRIVILEGES = 39
print('no new privileges:', libc.prctl(NO_NEW_PRIVILEGES, 0, 0, 0, 0))
"""

MOUNTS = """\
wrong = -1
calls(
    mount=(1, 1, 1, 0, 1), umount2=(1, wrong), pivot_root=(1, 1), chroot=(1,),
    open_tree=(wrong, 1, wrong), fsopen=(1, wrong), fsconfig=(wrong, 0, 0, 0, 0), fsmount=(wrong, wrong, 0),
    fspick=(wrong, 1, wrong), move_mount=(wrong, 1, wrong, 1, wrong), mount_setattr=(wrong, 1, wrong, 0, 0),
)
"""
OLD_MOUNTS = ("mount", "umount2", "pivot_root", "chroot")
NEW_MOUNTS = ("open_tree", "fsopen", "fsconfig", "fsmount", "fspick", "move_mount", "mount_setattr")

CHANGE_MODE = """\
os.symlink(bait.key, 'l')
def change():
    before = os.stat('l').st_mode
    os.chmod('l', before ^ 0o7)
    if os.stat('l').st_mode == before:
        raise PermissionError(errno.EPERM, 'nothing changed')
attempt('mode', change)
"""

NESTED = """\
NEW_USER, SIGCHLD = 0x10000000, 17
def clone():
    pid = call('clone', NEW_USER | SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
attempt('clone', clone)
attempt('unshare', call, 'unshare', NEW_USER)
attempt('clone3', call, 'clone3', 0, 0)
attempt('setns', call, 'setns', -1, 0)
"""

FILL = """\
def fill():
    with open('f', 'wb') as file:
        for _ in range(24):
            file.write(bytes(1 << 20))
attempt('fill', fill)
"""

FILL_MANY = """\
def fill():
    for number in range(10):
        with open(f'{number}', 'wb') as file:
            file.write(bytes(6 << 20))
    time.sleep(2)
attempt('fill', fill)
"""

FILL_UNLINKED = """\
def fill():
    kept = []
    for number in range(8):
        file = open('f', 'wb', buffering=0)
        kept.append(file)
        os.unlink('f')
        for _ in range(6):
            if file.write(bytes(1 << 20)) < 1 << 20:
                raise OSError(errno.ENOSPC, 'short')
    time.sleep(2)
attempt('fill', fill)
"""

ROOTS = """\
for name in ('/bomb', '/dev/bomb', '/etc/bomb', '/run/mtchat/bomb', '/run/bomb'):
    attempt('write', os.open, name, os.O_WRONLY | os.O_CREAT)
"""

DEEP = "for _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\nprint('deep')"
SHUT = """\
os.mkdir('shut')
open('shut/f', 'w').close()
effort('mode', os.chmod, 'shut', 0)
open('ok', 'w').close()
print('shut')
"""
NAMES = """\
for name in (b'a\\nb', b'\\x1b[31m', b'\\xff', b'x' * 255, b'-rf', b'%s'):
    os.close(os.open(name, os.O_CREAT))
print('named')
"""
REMOVE = """\
import shutil
work = os.getcwd()
shutil.rmtree(work, ignore_errors=True)
print('left:', os.path.isdir(work))
"""


def left(files: tuple[str, ...], *reasons: str) -> Expect:
    """What the host lists, and each reason that it gives for what it leaves aside."""

    def check(outcome: Outcome) -> None:
        assert tuple(file.path for file in outcome.files) == files
        assert outcome.skipped == reasons

    return says("left", check=check, told="skipped")


def too_deep(outcome: Outcome) -> None:
    assert any("too deep" in reason for reason in outcome.skipped)


def too_many(outcome: Outcome) -> None:
    assert len(outcome.files) <= MAX_FILES
    assert any("too many files" in reason for reason in outcome.skipped)


def listed(outcome: Outcome) -> None:
    assert "ok" in [file.path for file in outcome.files]


def named(outcome: Outcome) -> None:
    assert {file.path for file in outcome.files} == {"%s", "-rf", "x" * 255}
    assert len(outcome.skipped) == 3
    assert all(reason.isprintable() for reason in outcome.skipped)


def leads_to_the_key(folder: Path) -> None:
    assert len((folder / "plot.png").read_text()) == 32


def is_a_pipe(folder: Path) -> None:
    assert stat.S_ISFIFO(os.stat(folder / "out.png").st_mode)


ROWS: tuple[Row, ...] = (
    row(
        46,
        "write outside",
        OUTSIDE.replace("PATHS", EVERYWHERE),
        says("write: ENOENT", *["write: EROFS"] * 7),
        says(*["write: EACCES"] * 6, "write: (EACCES|ENOENT)", "write: EACCES"),
        control=escapes(
            "write", code=OUTSIDE.replace("PATHS", "(bait.folder + '/x',)"), touches=frozenset({"folder"})
        ),
    ),
    row(
        47,
        "change mode and content through a link",
        f"{CHANGE_MODE}attempt('write', open, 'l', 'w')",
        says("mode: ENOENT", "write: ENOENT"),
        says("mode: (EPERM|EACCES)", "write: EACCES"),
        control=escapes("mode", "write", touches=frozenset({"key file"})),
    ),
    row(
        48,
        "leave a link for the host to follow",
        "os.symlink(bait.key, 'plot.png')\nprint('left')",
        left((), "'plot.png': a link"),
        control=Control(("left",), check=leads_to_the_key),
    ),
    row(
        49,
        "leave a pipe for the host to wait on",
        "os.mkfifo('out.png')\nos.mkfifo('b')\nprint('left')",
        left((), "'b': a pipe", "'out.png': a pipe"),
        control=Control(("left",), check=is_a_pipe),
    ),
    row(
        50,
        "hard link to a file of the host",
        "attempt('key', os.link, bait.key, 'k')\nattempt('program', os.link, '/usr/bin/env', 'p')",
        says("key: ENOENT", "program: EXDEV"),
        says("key: (EACCES|EXDEV|EPERM)", "program: (EACCES|EXDEV|EPERM)"),
        control=escapes("key", code="attempt('key', os.link, bait.key, 'k')"),
    ),
    row(
        51,
        "set-user-id file of its own",
        UNTOUCHED_USER,
        says("mode: (done|EPERM)", "user: same", "no new privileges: 1", told="user unchanged"),
        control=Control(("mode: done", "user: same", "no new privileges: 0")),
    ),
    row(
        52,
        "su",
        "import subprocess\n"
        "told = subprocess.run(['su', '-c', 'exit 0'], stdin=subprocess.DEVNULL, capture_output=True)\n"
        "print('su: refused' if told.returncode else 'ESCAPED su')",
        says("su: refused"),
        control=escapes("su", root=True),
    ),
    row(
        53,
        "make a device",
        "import stat\nattempt('device', os.mknod, 'd', stat.S_IFCHR | 0o600, os.makedev(1, 3))",
        says("device: EPERM"),
        says("device: (EACCES|EPERM)"),
        control=escapes("device", root=True),
    ),
    row(
        54,
        "mount, unmount, pivot, chroot",
        MOUNTS,
        says(*(f"{name}: EPERM" for name in (*OLD_MOUNTS, *NEW_MOUNTS))),
        control=Control(
            tuple(f"{name}: (EFAULT|EINVAL|EBADF)" for name in (*OLD_MOUNTS, *NEW_MOUNTS)), root=True
        ),
    ),
    row(
        55,
        "the newer ways to mount, files by handle",
        "attempt('open_tree', call, 'open_tree', -100, b'/', 1)\n"
        "attempt('fsopen', call, 'fsopen', b'tmpfs', 0)\n"
        "calls(name_to_handle_at=(-1, 1, 0, 0, -1), open_by_handle_at=(-1, 0, 0))",
        says("open_tree: EPERM", "fsopen: EPERM", "name_to_handle_at: EPERM", "open_by_handle_at: EPERM"),
        control=Control(
            (
                *("ESCAPED open_tree", "ESCAPED fsopen"),
                *("name_to_handle_at: (EINVAL|EFAULT)", "open_by_handle_at: (EFAULT|EBADF|EINVAL)"),
            ),
            root=True,
        ),
    ),
    row(
        56,
        "a user namespace inside",
        NESTED,
        says("clone: EPERM", "unshare: EPERM", "clone3: ENOSYS", "setns: EPERM"),
        control=Control(
            ("ESCAPED clone", "ESCAPED unshare", "clone3: EINVAL", "setns: EBADF"), lacks="clone: E.*"
        ),
    ),
    row(57, "fill the disk with one file", FILL, says("fill: EFBIG"), control=escapes("fill")),
    row(
        58,
        "fill the disk with many files",
        FILL_MANY,
        says("fill: ENOSPC"),
        stopped("disk"),
        control=escapes("fill"),
        residual="tier 2 looks at the size four times a second: a burst may pass it for that long",
    ),
    row(
        59,
        "a sparse file",
        "attempt('sparse', os.truncate, os.open('f', os.O_CREAT | os.O_RDWR), 1 << 30)",
        says("sparse: EFBIG"),
        control=escapes("sparse"),
    ),
    row(
        60,
        "many empty files",
        "for number in range(5000):\n    open(f'{number}', 'w').close()\nprint('made')",
        says("made", check=too_many, told="listing bounded, the files themselves are not"),
        control=no_control("they may be made on a bare host too"),
        residual="inodes of a memory folder cost about 1 KiB each and are not counted without control groups",
    ),
    row(
        61,
        "write to the sandbox's own root",
        ROOTS,
        says(*["write: EROFS"] * 5),
        says(*["write: (EACCES|ENOENT)"] * 5),
        control=no_control("it would write to the host's root"),
    ),
    row(
        62,
        "unlinked files that no one can list",
        FILL_UNLINKED,
        says("fill: ENOSPC"),
        stopped("disk", hole="a file that is open but has no name any more is not counted"),
        control=escapes("fill"),
    ),
    row(
        63,
        "folders too deep to clean up",
        DEEP,
        says("deep", check=too_deep, told="cleaned up"),
        control=no_control("it is the host's clean-up that is attacked"),
    ),
    row(
        64,
        "a folder that is shut",
        SHUT,
        says("mode: (done|EPERM)", "shut", check=listed, told="cleaned up"),
        control=no_control("it is the host's clean-up that is attacked"),
    ),
    row(
        65,
        "names with control characters",
        NAMES,
        says("named", check=named, told="skipped"),
        control=no_control("such names are allowed on a bare host too"),
    ),
    row(
        66,
        "remove the work folder",
        REMOVE,
        says("left: True", told="its content only"),
        control=Control(("left: False",)),
    ),
)
