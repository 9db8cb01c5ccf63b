"""Copies the files of a checkpoint out of the folders that a program can write to, and back."""

import os
import shutil
import stat

from mtchat.sandbox.guest.wire import DEEPEST_FOLDER, LOAD, MOST_STATE_FILES, SAVE, STORE

DONE, FAILED = 0, 1


class WorkdirCopier:
    """Numbered copies of folders. A child does each job, because a program has filled the folders."""

    def __init__(self, roots: list[str]) -> None:
        self.roots = roots
        # If Python is installed under one of them, it is mounted there.
        self.there = [set(os.listdir(root)) for root in roots]

    def copy_workdir(self, word: bytes, number: int) -> int:
        """SAVE, LOAD or FORGET a copy; DONE, or FAILED if something cannot be copied exactly."""
        child = os.fork()
        if child == 0:
            try:
                self.run(word, number)
                os._exit(DONE)
            except BaseException:
                os._exit(FAILED)
        return DONE if os.waitpid(child, 0)[1] == 0 else FAILED

    def run(self, word: bytes, number: int) -> None:
        store = os.path.join(STORE, str(number))
        if word == SAVE:
            os.mkdir(store)
            for index, root in enumerate(self.roots):
                os.mkdir(os.path.join(store, str(index)))
                FolderCopy(self.there[index]).make_equal(root, os.path.join(store, str(index)))
        elif word == LOAD:
            for index, root in enumerate(self.roots):
                FolderCopy(self.there[index]).make_equal(os.path.join(store, str(index)), root)
        else:
            shutil.rmtree(store)


class FolderCopy:
    """Makes one folder equal to another, except some names; OSError if something cannot be copied."""

    def __init__(self, without: set[str]) -> None:
        self.without = without
        self.seen = 0

    def make_equal(self, source: str, target: str, depth: int = 0) -> None:
        """Copy everything, in the same order, even files that look unchanged."""
        if depth > DEEPEST_FOLDER:
            raise OSError("too deep")
        without = set() if depth else self.without
        with os.scandir(target) as there:
            for entry in [each for each in there if each.name not in without]:
                remove_entry(entry)
        with os.scandir(source) as wanted:
            entries = [each for each in wanted if each.name not in without]
        self.seen += len(entries)
        if self.seen > MOST_STATE_FILES:
            raise OSError("too many files")
        for entry in reversed(entries):  # tmpfs lists the newest entry first
            self.copy(entry, os.path.join(target, entry.name), depth)

    def copy(self, entry: "os.DirEntry[str]", target: str, depth: int) -> None:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(entry.path), target)
        elif stat.S_ISDIR(status.st_mode):
            os.mkdir(target)
            self.make_equal(entry.path, target, depth + 1)
            shutil.copystat(entry.path, target)
        elif stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            shutil.copy2(entry.path, target, follow_symlinks=False)
        else:
            raise OSError("not a plain file")


def remove_entry(entry: "os.DirEntry[str]") -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path)
    else:
        os.unlink(entry.path)
