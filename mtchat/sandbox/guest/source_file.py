"""The program's source: the file that `__file__` and `sys.argv[0]` name, and the lines for tracebacks."""

import io
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

TURNS = "main.py"  # the file name of a program made of turns
# A program made of turns gets a source file only if it contains one of these.
ASKING = ("__file__", "argv", "getsource", "inspect", "import main", "from main")


def is_single_file(names: list[str]) -> bool:
    """Whether the program is a single file, and not a conversation."""
    return len(names) == 1 and not names[0].startswith("<")


def file_name(names: list[str]) -> str:
    return names[0] if is_single_file(names) else TURNS


def module_text(sources: list[str]) -> str:
    """The chunks as one module."""
    return "\n\n".join(sources) + ("\n" if len(sources) > 1 else "")


def file_content(names: list[str], sources: list[str]) -> bytes:
    """The content of the source file; b"" if there is none."""
    text = module_text(sources)
    if not is_single_file(names) and not any(word in text for word in ASKING):
        return b""
    return encode(text)


def encode(text: str) -> bytes:
    """The source in the encoding that it declares, otherwise in UTF-8."""
    head = "\n".join(text.split("\n")[:2])
    if "coding" in head:
        import tokenize
        from io import BytesIO

        try:
            encoding, _ = tokenize.detect_encoding(BytesIO(head.encode("utf-8", "replace")).readline)
            return text.encode(encoding)
        except (SyntaxError, UnicodeError):
            pass
    return text.encode("utf-8", "surrogatepass")


def write_file(folder: str, name: str, content: bytes, before: bytes) -> None:
    """Write the file; an existing one is replaced only if it still has the content `before`."""
    path = os.path.join(folder, name)
    if not content or os.path.basename(name) != name:
        return
    try:
        if os.path.lexists(path):
            with open(path, "rb") as file:
                if not before or file.read(len(before) + 1) != before:
                    return
        with open(path, "wb") as file:
            file.write(content)
    except OSError:
        return


def fill_linecache(cache: "MutableMapping[str, Any]", sources: dict[str, str]) -> None:
    """Add the chunks to `linecache`, so that tracebacks show their lines."""
    for name, source in sources.items():
        cache[name] = (len(source), None, [line + "\n" for line in split_lines(source)], name)


def split_lines(source: str) -> list[str]:
    """The lines as Python's tokenizer sees them: form feed and U+2028 do not end one."""
    return io.StringIO(source, newline=None).read().removesuffix("\n").split("\n")
