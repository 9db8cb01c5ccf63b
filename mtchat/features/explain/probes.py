"""Code that runs inside a sandbox to look at values and at the documentation of installed libraries.

Its source is sent there, so each function imports what it needs and uses nothing else of this module. Results
are printed as lines of JSON. Nothing here calls a method that the user's program defines.
"""

import inspect
import json
from collections.abc import Iterable
from typing import Any

LONGEST_LINE = 400


def document_names(wanted: "list[list[str]]", modules: "list[str]", kinds: "dict[str, str]") -> None:
    """Print the documentation of library functions, each given by its parts such as ["numpy", "polyfit"].

    A first part that is a variable has the name of its type in `kinds`, which one of the modules defines.
    """
    import builtins
    import collections
    import importlib
    import inspect
    import json
    import re

    found: dict[str, Any] = {}
    for name in modules:
        try:
            found[name] = importlib.import_module(name)
        except Exception:
            continue
    places = [builtins, collections, *found.values()]

    def start(name: str) -> "Any":
        if name in found and name not in kinds:
            return found[name]
        kind = kinds.get(name, name)
        return next((vars(place)[kind] for place in places if kind in vars(place)), None)

    def returned(lines: "list[str]") -> str:
        for at, line in enumerate(lines):
            head, _, rest = line.strip().partition(":")
            if head.strip().lower() in ("returns", "yields"):
                after, dashed = [rest.strip()], False
                for each in lines[at + 1 :]:
                    dashed = dashed or set(each.strip()) == {"-"}
                    if not each.strip() and any(after):
                        break
                    after.append("" if set(each.strip()) == {"-"} else each.strip())
                kept = [each for each in after if each]
                if dashed and len(kept) > 1:
                    kept[0] = kept[0].replace(" : ", ": ", 1) + ":"
                return " ".join(kept)
            sphinx = re.match(r":returns?:\s*(.*)", line.strip())
            if sphinx:
                return sphinx[1]
        return ""

    for place, parts in enumerate(wanted):
        value = start(parts[0])
        title = ".".join([kinds.get(parts[0], parts[0]), *parts[1:]])
        for part in parts[1:]:
            value = (
                None
                if value is None
                else inspect.getattr_static(value, part, None) or getattr(value, part, None)
            )
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        if value is None:
            continue
        text = inspect.getdoc(value) or ""
        lines = text.split("\n")
        first: list[str] = []
        for line in lines:
            if not line.strip() and first and not re.search(r"\(.*\)$", first[-1]):
                break
            first += [line.strip()] if line.strip() else []
        try:
            signature = str(inspect.signature(value))
        except (TypeError, ValueError):
            signature = ""
        row = {
            "place": place,
            "name": title,
            "signature": signature[:200],
            "summary": " ".join(first)[:400],
            "returns": returned(lines)[:400],
        }
        print(json.dumps(row))


def describe_numbers(state: "dict[str, Any]", names: "list[str]") -> None:
    """Print the least, the greatest, the sum and the mean of variables that hold numbers."""
    import json

    def plain(value: "Any") -> bool:
        return type(value) in (int, float) and value == value

    for name in names:
        value: Any = state.get(name)
        keys: list[Any] = []
        if type(value) in (list, tuple, set, frozenset) or type(value).__name__ in ("Counter", "dict"):
            if isinstance(value, dict):
                keys = list(dict.keys(value))[:100000]
                numbers = list(dict.values(value))[:100000]
            else:
                numbers = list(value)[:100000]
        elif type(value).__module__ == "numpy" and type(value).__name__ == "ndarray":
            numbers = value.ravel()[:100000].tolist()
        elif type(value).__module__.split(".")[0] == "pandas" and type(value).__name__ == "Series":
            keys, numbers = list(value.index[:100000]), value.tolist()[:100000]
        else:
            continue
        if len(numbers) < 2 or not all(map(plain, numbers)):
            continue
        least, most = min(numbers), max(numbers)
        row = {"name": name, "least": least, "most": most, "sum": sum(numbers), "count": len(numbers)}
        if keys and all(type(key) in (str, int) for key in keys):
            row["least_key"], row["most_key"] = keys[numbers.index(least)], keys[numbers.index(most)]
        print(json.dumps(row))


def find_words(state: "dict[str, Any]", words: "list[str]") -> None:
    """Print the entries of variables that are one of these words, which are in lower case."""
    import json

    def is_word(value: "Any") -> bool:
        return type(value) is str and value.lower() in words

    def say(text: str) -> None:
        print(json.dumps({"entry": text[:300]}))

    for name, value in list(state.items()):
        if name.startswith("__"):
            continue
        if type(value).__module__.split(".")[0] == "pandas" and type(value).__name__ == "DataFrame":
            for column, kind in zip(value.columns, value.dtypes, strict=True):
                if is_word(column):
                    say(f"`{name}[{column!r}]` is a column of {len(value)} values of type {kind}")
            value = value.head(10000)
            texts = value.astype(str).apply(lambda column: column.str.lower())
            for row in value[texts.isin(words).any(axis=1)].head(5).to_dict("records"):
                say(f"`{name}` has the row {row}")
        elif isinstance(value, dict) and type(value).__module__ in ("builtins", "collections"):
            for key in list(dict.keys(value))[:100000]:
                if is_word(key):
                    say(f"`{name}[{key!r}]` is {dict.__getitem__(value, key)!r}")
        elif type(value) in (list, tuple):
            for each in value[:10000]:
                parts = list(each.values()) if type(each) is dict else each
                if type(parts) in (list, tuple) and any(map(is_word, parts)):
                    say(f"`{name}` has the entry {each!r}")


def call_code(function: "Any", **arguments: object) -> str:
    """One statement that calls a function of this module in a sandbox and leaves no name there.

    An argument `state` is not passed; it is the program's variables.
    """
    source = inspect.getsource(function)
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    if "state" in inspect.signature(function).parameters:
        given = f"state=state, {given}"
    code = f"from typing import Any\n{source}\n{function.__name__}({given})"
    return f"__import__('builtins').exec({code!r}, {{'state': __import__('builtins').globals()}})"


def printed_rows(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The lines of JSON among what was printed."""
    found = []
    for line in lines:
        try:
            row = json.loads(line) if line.startswith("{") else None
        except ValueError:
            continue
        if isinstance(row, dict):
            found.append(row)
    return found
