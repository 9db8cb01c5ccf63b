"""The licences of models: what a folder's own README says, else what is known of the CodeGen family."""

import re
from pathlib import Path

from mtchat.inference.loaders.model_files import read_text

RESEARCH = "research only"
# the names on the hub, and what their weights are under
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
    """That of the model in a folder; "" where nothing says one."""
    return next(
        filter(None, (read_licence(folder / "README.md"), known_licence(name), known_licence(folder.name))),
        "",
    )


def read_licence(readme: Path) -> str:
    """What the front matter of a model's README says; where that is "other", the name it gives instead."""
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
    """That of a released model by its name, with the hub's _P at its end or without."""
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
    """What to say of a licence that leaves out some uses; "" of any other."""
    if licence == RESEARCH:
        return "the licence of this model allows research only"
    if re.search(r"(^|-)(nc|research)(-|$)", licence.lower()):
        return f"the licence of this model, {licence}, allows no commercial use"
    return ""
