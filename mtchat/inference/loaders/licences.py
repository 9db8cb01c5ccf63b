"""The licences of models: by the README of their folder, else by what is known of the CodeGen family."""

import re
from pathlib import Path

from mtchat.inference.loaders.model_files import read_text

RESEARCH = "research only"
# names on the hub and the licence of their weights
FAMILY = (
    ("Salesforce/codegen-{350M,2B,6B,16B}-{nl,multi,mono}", "BSD-3-Clause"),
    ("Salesforce/codegen2-{1B,3_7B,7B,16B}_P", "Apache-2.0"),
    ("Salesforce/codegen25-7b-{multi,mono}_P", "Apache-2.0"),
    ("Salesforce/codegen25-7b-instruct_P", RESEARCH),
)
SPELLED = {"apache-2.0": "Apache-2.0", "bsd-3-clause": "BSD-3-Clause", "mit": "MIT"}
FRONT = re.compile(r"\A---\n(.*?)\n---", re.DOTALL)
ENTRY = re.compile(r"""^(license(?:_name)?):\s*(?:-\s*)?["']?([^\s"'#\[\]]+)""", re.MULTILINE)


def find_licence(folder: Path, name: str) -> str:
    """The licence of the model in a folder; "" if unknown."""
    return next(
        filter(None, (read_licence(folder / "README.md"), known_licence(name), known_licence(folder.name))),
        "",
    )


def read_licence(readme: Path) -> str:
    """The licence in the front matter of a README; if that is "other", its `license_name`."""
    try:
        front = FRONT.match(read_text(readme, "replace").replace("\r\n", "\n"))
    except OSError:
        return ""
    entries = dict(ENTRY.findall(front[1])) if front else {}
    word: str = entries.get("license", "")
    if word == "other":
        word = entries.get("license_name", word)
    return SPELLED.get(word.lower(), word)


def known_licence(name: str) -> str:
    """The licence of a released model by its name, with or without the hub's suffix _P."""
    last = name.rstrip("/").rsplit("/", 1)[-1].removesuffix("_P")
    for names, found in FAMILY:
        form = (
            names.rsplit("/", 1)[-1]
            .removesuffix("_P")
            .translate({ord("{"): "(", ord("}"): ")", ord(","): "|"})
        )
        if re.fullmatch(form, last, re.IGNORECASE):
            return found
    return ""


def licence_note(licence: str) -> str:
    """A note about a licence that forbids some uses; "" for any other."""
    if licence == RESEARCH:
        return "the licence of this model allows research only"
    if re.search(r"(^|-)(nc|research)(-|$)", licence.lower()):
        return f"the licence of this model, {licence}, allows no commercial use"
    return ""
