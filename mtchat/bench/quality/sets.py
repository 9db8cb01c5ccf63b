"""Finds the data files of benchmarks in a folder, each by what its first problem holds."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mtchat import plugins
from mtchat.bench.quality import suite as suites
from mtchat.bench.quality.data import first_value
from mtchat.bench.quality.suite import SUITES, Suite
from mtchat.bench.quality.suites import humaneval
from mtchat.errors import MtchatError

SUFFIXES = (".jsonl", ".json", ".jsonl.gz")


@dataclass(frozen=True)
class DataSet:
    """The problems in one data file, and the suite that they belong to; `name` is that of the file.

    Without a path it is the file that the suite finds by itself.
    """

    name: str
    suite: str
    path: Path | None


def find_sets(folder: Path, wanted: Sequence[str] = ()) -> tuple[DataSet, ...]:
    """The sets in a folder, by name, and HumanEval if it is installed; `wanted` names those that count.

    A file whose problems are of no suite is left out. MtchatError if a wanted set is missing, or all are.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES))
    except OSError as error:
        raise MtchatError(f"cannot list {folder} ({error.strerror}); --data DIR names the data") from None
    found = [DataSet(name_set(path), name, path) for path in paths if (name := recognise(path))]
    installed = humaneval.installed_data()
    if installed and not any(each.suite == "humaneval" for each in found):
        found.append(DataSet("humaneval", "humaneval", installed))
    names = [each.name for each in found]
    if missing := [name for name in wanted if name not in names]:
        known = ", ".join(names) or "none"
        raise MtchatError(f"no set {missing[0]!r} in {folder}; the sets there are: {known}")
    if not found:
        raise MtchatError(f"{folder} has no data of a benchmark; --data DIR names the folder that has it")
    return tuple(each for each in found if not wanted or each.name in wanted)


def name_set(path: Path) -> str:
    """The name of a data file without its suffixes."""
    return path.name.partition(".")[0]


def recognise(path: Path) -> str:
    """The suite whose problems a file holds, "" if it is of none."""
    problem = first_value(path) if os.path.isfile(path) else None
    if not isinstance(problem, dict):
        return ""
    fits = (name for name in plugins.names(SUITES) if needs(suites.load(name)) <= problem.keys())
    return next(fits, "")


def needs(suite: Suite) -> set[str]:
    return set(suite.NEEDED.fields)
