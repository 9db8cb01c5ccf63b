"""GGUF models by name, such as owner/repo:Q4_K_M: which models a repository has, and which one is meant.

A model is chosen by the quantisation in its file name.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mtchat.bundled_models.hub_files import HubFile
from mtchat.errors import ModelError
from mtchat.inference.loaders import split_files

HOST = re.compile(r"(?:https?://)?(?:hf\.co|huggingface\.co)/|hf:(?:/{2})?", re.IGNORECASE)
NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?::(?P<choice>.+))?")
NAME_OR_ADDRESS = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?:[:/](?P<choice>.+))?")
# between the repository and the file in the address of a page, which may end there
PAGE = re.compile(r"(?:blob|resolve|tree)/[^/]+(?:/|$)")
LATEST = "latest"  # Ollama's tag for its default
SUFFIX = ".gguf"
# a quantisation in a file name: Q4_K_M, IQ2_XXS, UD-Q4_K_XL, TQ1_0, BF16, MXFP4_MOE
LABEL = re.compile(
    r"(?:^|(?<=[-._/ ]))"
    r"((?:UD-)?(?:[IT]?Q\d+(?:_[A-Z0-9]+)*|(?:BF|F|FP)(?:16|32)|(?:MX|NV)FP\d+(?:_[A-Z0-9]+)*))(?=$|[-._/ ])",
    re.IGNORECASE,
)
DYNAMIC = "UD-"
PREFERRED = "Q4_K_M"
PREFERRED_BITS = 4.85  # per weight
NO_MODEL = ("mmproj",)  # in the names of image encoders
NO_MODEL_UNLABELLED = (
    "imatrix",
    "vocab",
)  # in the names of other files that are no models; models name their type
OVERHEAD = 1.1  # memory of a model with a short context, by the size of its file
LISTED = 12  # names that an error lists


@dataclass(frozen=True)
class HubName:
    """A repository, and what of it: a quantisation or a file; "" for the recommended."""

    repository: str
    choice: str


@dataclass(frozen=True)
class HubGguf:
    """A GGUF model of a repository, with all of its parts in order; `label` is its quantisation."""

    files: tuple[HubFile, ...]
    label: str
    expected: int = 1  # parts

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.files)

    @property
    def path(self) -> str:
        return self.files[0].path

    @property
    def stem(self) -> str:
        """Its path without the suffix and the number of its part."""
        found = split_files.PART_NAME.fullmatch(self.path)
        return found["stem"] if found else self.path.removesuffix(SUFFIX)


def parse_name(name: str) -> HubName | None:
    """The repository that a name means, if it has the form of one."""
    host = HOST.match(name)
    if host:
        name = re.split(r"[?#]", name, maxsplit=1)[0].rstrip("/")
    found = (NAME_OR_ADDRESS if host else NAME).fullmatch(name[host.end() :] if host else name)
    if found is None or name.startswith((".", "~")):
        return None
    choice = found["choice"] or ""
    choice = PAGE.sub("", choice, count=1) if PAGE.match(choice) else choice
    return HubName(found["repository"], "" if choice.lower() == LATEST else choice)


def list_ggufs(files: Sequence[HubFile]) -> list[HubGguf]:
    """The GGUF models among the files of a repository, by name; image encoders and the like are left out."""
    by_path = {each.path: each for each in files if each.path.lower().endswith(SUFFIX)}
    found = []
    for path in sorted(by_path):
        label, name = find_label(path), PurePosixPath(path).name.lower()
        if any(each in name for each in NO_MODEL + (() if label else NO_MODEL_UNLABELLED)):
            continue
        if split_files.is_later_part(PurePosixPath(path).name):
            continue
        parts = [each.as_posix() for each in split_files.part_paths(Path(path))]
        present = tuple(by_path[each] for each in parts if each in by_path)
        found.append(HubGguf(present, label, len(parts)))
    return found


def find_label(path: str) -> str:
    """The quantisation in a path, the last where there are several; "" if there is none."""
    name = split_files.PART_NAME.fullmatch(path)
    found = LABEL.findall(name["stem"] if name else re.sub(r"\.gguf$", "", path, flags=re.IGNORECASE))
    return found[-1].upper() if found else ""


def choose(name: HubName, models: Sequence[HubGguf], parameters: int, memory: float) -> tuple[HubGguf, str]:
    """The model that a name means, and a note on the choice; ModelError that lists what can be chosen."""
    if not models:
        raise ModelError(f"{name.repository} has no GGUF model; give the name of another repository")
    if name.choice:
        chosen, note = choose_named(name, models), ""
    elif len({each.label for each in models}) < len(models) and len(models) > 1:
        chosen, note = only(name, models, "several models"), ""
    else:
        chosen = recommend(models, parameters, memory)
        others = len(models) - 1
        note = f"{describe(chosen)} of {name.repository}" + (
            f", recommended for this machine; {others} other{'s' * (others > 1)}: {labels(models, chosen)}"
            if others
            else ""
        )
    if len(chosen.files) < chosen.expected:
        raise ModelError(
            f"{name.repository} has only {len(chosen.files)} of {chosen.expected} parts of {chosen.path}; "
            "choose another model"
        )
    return chosen, note


def choose_named(name: HubName, models: Sequence[HubGguf]) -> HubGguf:
    """The model with a file name, a quantisation, or a part of its name that only one has."""
    wanted = name.choice.lower()
    tries: tuple[Callable[[HubGguf], bool], ...] = (
        lambda each: any(wanted in (file.path.lower(), file_name(file.path)) for file in each.files),
        lambda each: wanted in (each.stem.lower(), file_name(each.stem)),
        lambda each: each.label.lower() == wanted,
        lambda each: each.label.removeprefix(DYNAMIC).lower() == wanted,
        lambda each: f"-{wanted}-" in re.sub(r"[._/ ]", "-", f"-{each.stem.lower()}-"),
    )
    for matches in tries:
        if found := [each for each in models if matches(each)]:
            return only(name, found, f"several files for {name.choice}")
    raise ModelError(
        f"{name.repository} has no {name.choice}; it has {labels(models)}: give one as {name.repository}:NAME"
    )


def is_named(choice: str, model: HubGguf) -> bool:
    """Whether a choice means a model whatever else its repository has: by a file name or its quantisation."""
    wanted = choice.lower()
    names = {wanted_name for file in model.files for wanted_name in (file.path.lower(), file_name(file.path))}
    return wanted in names | {model.stem.lower(), file_name(model.stem), model.label.lower()}


def file_name(path: str) -> str:
    return PurePosixPath(path).name.lower()


def only(name: HubName, models: Sequence[HubGguf], what: str) -> HubGguf:
    if len(models) == 1:
        return models[0]
    more = f" and {len(models) - LISTED} more" if len(models) > LISTED else ""
    listed = ", ".join(f"{name.repository}:{each.path}" for each in models[:LISTED])
    raise ModelError(f"{name.repository} has {what}; give one of them: {listed}{more}")


def labels(models: Sequence[HubGguf], without: HubGguf | None = None) -> str:
    """The quantisations to choose from, smallest first; file names for those that name none."""
    ordered = sorted((each for each in models if each != without), key=lambda each: each.bytes)
    names = list(dict.fromkeys(each.label or each.path for each in ordered))
    more = f" and {len(names) - 2 * LISTED} more" if len(names) > 2 * LISTED else ""
    return ", ".join(names[: 2 * LISTED]) + more


def recommend(models: Sequence[HubGguf], parameters: int, memory: float) -> HubGguf:
    """Q4_K_M if it fits, else the one nearest to its size that does; the smallest if none fits."""
    fitting = [each for each in models if needed(each) <= memory]
    if not fitting:
        return min(models, key=lambda each: each.bytes)
    preferred = [each for each in models if each.label == PREFERRED]
    if preferred and preferred[0] in fitting:
        return preferred[0]
    sizes = sorted(each.bytes for each in models)
    middle = parameters * PREFERRED_BITS / 8 or sizes[len(sizes) // 2]
    target = preferred[0].bytes if preferred else middle
    return min(fitting, key=lambda each: abs(math.log(max(each.bytes, 1) / target)))


def needed(model: HubGguf) -> float:
    """A rough estimate of the memory that a model takes, by the size of its files."""
    return model.bytes * OVERHEAD


def describe(model: HubGguf) -> str:
    parts = f", {len(model.files)} parts" if len(model.files) > 1 else ""
    return f"{model.label or model.path} ({model.bytes / 1e9:.1f} GB{parts})"


def explain_excess(name: HubName, chosen: HubGguf, models: Sequence[HubGguf], memory: float) -> str:
    """What to say of a model that cannot fit in memory, with one that would; "" if it can."""
    if needed(chosen) <= memory:
        return ""
    smaller = [each for each in models if needed(each) <= memory]
    best = max(smaller, key=lambda each: each.bytes, default=None)
    advice = (
        f"{name.repository}:{best.label or best.path} ({best.bytes / 1e9:.1f} GB) would fit"
        if best
        else "no other file of this repository would fit; use a smaller model"
    )
    return (
        f"{name.repository}:{chosen.label or chosen.path} has {chosen.bytes / 1e9:.1f} GB of weights, and "
        f"this machine has {memory / 1e9:.1f} GB of memory; {advice}"
    )
