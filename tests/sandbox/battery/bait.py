"""What an attack would find on the host: files, listeners and a process, and whether any was touched."""

import ctypes
import os
import secrets
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

SECRET_NAME = "MTCHAT_BAIT_SECRET"
IPC_RMID = 0
ANSWERS = 0x4F000000


class Bait:
    """A key file, listeners of five kinds, a process, names in shared folders and a key of shared memory."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.mark = f"mtchat-bait-{secrets.token_hex(6)}"
        self.secret = secrets.token_hex(16)
        self.key = folder / "key"
        self.key.write_text(self.secret)
        self.handle = os.open(self.key, os.O_RDONLY)
        stack.callback(os.close, self.handle)
        self.number = ANSWERS | secrets.randbelow(1 << 24)
        self.tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.udp = self.bound(stack, socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        self.stream = self.bound(stack, socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "stream"))
        self.dgram = self.bound(stack, socket.AF_UNIX, socket.SOCK_DGRAM, str(folder / "dgram"))
        self.abstract = self.bound(stack, socket.AF_UNIX, socket.SOCK_STREAM, f"\0{self.mark}")
        for listener in (self.stream, self.abstract):
            listener.listen()
        for each in (self.tcp, self.udp, self.stream, self.dgram, self.abstract):
            each.setblocking(False)
        self.names = sorted(os.listdir(folder))
        self.victim = self.started()
        stack.callback(self.end)

    @staticmethod
    def bound(stack: ExitStack, family: int, kind: int, address: object) -> socket.socket:
        made = stack.enter_context(socket.socket(family, kind))
        made.bind(address)
        return made

    @staticmethod
    def started() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE)

    def end(self) -> None:
        self.victim.kill()
        self.victim.communicate()

    def words(self) -> dict[str, object]:
        """What an attack is told, so that it need not search."""
        half = len(self.secret) // 2
        return {
            "folder": str(self.folder),
            "key": str(self.key),
            "inode": self.key.stat().st_ino,
            "handle": self.handle,
            "halves": (self.secret[:half], self.secret[half:]),
            "variable": SECRET_NAME,
            "home": os.path.expanduser("~"),
            "host": socket.gethostname(),
            "port": self.tcp.getsockname()[1],
            "udp": self.udp.getsockname()[1],
            "stream": str(self.folder / "stream"),
            "dgram": str(self.folder / "dgram"),
            "abstract": f"\0{self.mark}",
            "victim": self.victim.pid,
            "mark": self.mark,
            "number": self.number,
        }

    def touched(self) -> frozenset[str]:
        """The names of what was touched since the last time; afterwards all is as new."""
        tests = {
            "TCP listener": lambda: answered(self.tcp),
            "UDP listener": lambda: received(self.udp),
            "unix listener": lambda: answered(self.stream),
            "unix datagram listener": lambda: received(self.dgram),
            "abstract listener": lambda: answered(self.abstract),
            "victim process": self.victim_hurt,
            "key file": self.key_changed,
            "folder": self.folder_changed,
            "shared folders": self.named,
            "shared memory": self.shared,
        }
        return frozenset(name for name, test in tests.items() if test())

    def victim_hurt(self) -> bool:
        """Whether the victim is dead, stopped or traced; a new one takes its place."""
        with suppress(subprocess.TimeoutExpired):
            self.victim.wait(0.01)
        state = Path(f"/proc/{self.victim.pid}/stat")
        if self.victim.returncode is None and state.read_text().rpartition(")")[2].split()[0] not in "TtXZ":
            return False
        self.end()
        self.victim = self.started()
        return True

    def key_changed(self) -> bool:
        changed = self.key.read_text() != self.secret
        if changed:
            self.key.write_text(self.secret)
        return changed

    def folder_changed(self) -> bool:
        new = [name for name in os.listdir(self.folder) if name not in self.names]
        for name in new:
            os.unlink(self.folder / name)
        return bool(new) or sorted(os.listdir(self.folder)) != self.names

    def named(self) -> bool:
        """Files with our mark in the folders that all processes share."""
        found = [Path(folder, self.mark) for folder in ("/tmp", "/dev/shm", "/var/tmp")]
        there = [path for path in found if path.exists()]
        for path in there:
            path.unlink()
        return bool(there)

    def shared(self) -> bool:
        """A System V segment under our number."""
        with suppress(FileNotFoundError):
            for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]:
                key, segment, *_ = line.split()
                if int(key) == self.number:
                    ctypes.CDLL(None).shmctl(int(segment), IPC_RMID, None)
                    return True
        return False


def answered(listener: socket.socket) -> bool:
    """Whether anyone had connected."""
    count = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count > 0


def received(listener: socket.socket) -> bool:
    """Whether anything had been sent."""
    count = 0
    with suppress(BlockingIOError):
        while True:
            listener.recv(100)
            count += 1
    return count > 0
