"""The languages that a program can be written in: how each marks comments, names its files and blocks."""

import re
from dataclasses import dataclass

from mtchat.errors import UsageError


@dataclass(frozen=True)
class Language:
    """A language; `name` is also what Markdown and pygments call it.

    `sign` begins a comment that goes to the end of its line, `suffix` ends the name of a file. `twice` are
    patterns that a piece of a program has at the start of one line and not of two, as that of a function;
    each ends in what it needs to be sure, so that more text changes nothing. `ends` are texts that begin
    what is no code of a piece any more, as docstrings do in Python.
    """

    name: str
    title: str
    sign: str
    suffix: str
    aliases: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether mtchat runs its programs, and reads them: only Python's."""
        return self.name == PYTHON.name

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


FUNCTION_JS = r"(?:export )?(?:default )?(?:async )?function(?=[ *(])"
PYTHON = Language("python", "Python", "#", ".py", ("py",), ("print", "def"), ("'''", '"""'))
LANGUAGES = (
    PYTHON,
    Language("javascript", "JavaScript", "//", ".js", ("js", "node"), (FUNCTION_JS,)),
    Language("typescript", "TypeScript", "//", ".ts", ("ts",), (FUNCTION_JS,)),
    Language("java", "Java", "//", ".java"),
    Language("c", "C", "//", ".c", ("h",)),
    Language("cpp", "C++", "//", ".cpp", ("c++", "cc", "cxx")),
    Language("csharp", "C#", "//", ".cs", ("c#", "cs")),
    Language("go", "Go", "//", ".go", ("golang",), ("func(?= )",)),
    Language("rust", "Rust", "//", ".rs", ("rs",), ("(?:pub )?(?:async )?fn(?= )",)),
    Language("kotlin", "Kotlin", "//", ".kt", ("kt",), ("fun(?= )",)),
    Language("swift", "Swift", "//", ".swift", (), ("func(?= )",)),
    Language("scala", "Scala", "//", ".scala", (), ("def(?= )",)),
    Language("bash", "Bash", "#", ".sh", ("sh", "shell", "zsh"), (r"(?:function )?[\w-]+ ?\(\)",)),
    Language("ruby", "Ruby", "#", ".rb", ("rb",), ("def(?= )",)),
    Language("perl", "Perl", "#", ".pl", ("pl",), ("sub(?= )",)),
    Language("r", "R", "#", ".R"),
    Language("julia", "Julia", "#", ".jl", ("jl",), ("function(?= )",)),
    Language("sql", "SQL", "--", ".sql"),
    Language("lua", "Lua", "--", ".lua", (), ("(?:local )?function(?= )",)),
    Language("haskell", "Haskell", "--", ".hs", ("hs",)),
)
# what a model of CodeGen was trained on, by what its name says (Nijkamp et al. 2023, section 2.1)
TRAINED = {"mono": ("python",), "multi": ("c", "cpp", "go", "java", "javascript", "python")}


def parse_language(text: str) -> Language:
    """A language as typed: by its name or another that it has, in any case."""
    word = text.strip().lower()
    for each in LANGUAGES:
        if word in each.names:
            return each
    raise UsageError(f"language must be one of {', '.join(each.name for each in LANGUAGES)}, not {text!r}")


def training_warning(model: str, language: Language) -> str:
    """What to say where a model's name tells that it was not trained on a language; "" elsewhere."""
    for word, names in TRAINED.items():
        if word in re.split(r"[\W_]+", model.lower()) and language.name not in names:
            titles = " and ".join(
                filter(None, [", ".join(map(language_title, names[:-1])), language_title(names[-1])])
            )
            return f"{model} was trained on {titles}, not on {language.title}: expect poor results"
    return ""


def language_title(name: str) -> str:
    return parse_language(name).title
