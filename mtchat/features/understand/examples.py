"""Written examples of what people say while a program is built, for models that were not trained to tell.

They are part of every prompt of `likelihood`; they show a model the form, and that people differ.
"""

from dataclasses import dataclass

from mtchat.session.turn import Turn

INTRODUCTION = "A program is written step by step. After some steps its user types a message.\n"


@dataclass(frozen=True)
class Said:
    """What somebody said, by the key of its line; `turn` is the number of the turn that a change is about."""

    key: str
    text: str
    turn: int = 0


@dataclass(frozen=True)
class Example:
    """A program, and things that were said about it."""

    turns: tuple[Turn, ...]
    said: tuple[Said, ...]


EXAMPLES = (
    Example(
        (
            Turn("read the scores of the class", "scores = [71, 64, 90, 84]"),
            Turn("print the mean", 'print("mean:", sum(scores) / len(scores))'),
        ),
        (
            Said("change", "the second one was 46, sorry", 1),
            Said("step", "how far is each of them from it, print that too"),
            Said("question", "why is there a .25 at the end"),
            Said("change", "two decimals are plenty", 2),
            Said("check", "all of them have to lie between 0 and 100"),
            Said("rename", "call the list marks"),
            Said("talk", "ok great, thanks"),
        ),
    ),
    Example(
        (
            Turn(
                "a function that tells if a word is a palindrome",
                "def is_palindrome(word):\n    return word == word[::-1]",
            ),
            Turn(
                "try it on some words", 'for word in ["Anna", "tree"]:\n    print(word, is_palindrome(word))'
            ),
        ),
        (
            Said("talk", "hm wait, let me think"),
            Said("step", "now count the ones in a text file"),
            Said("change", "capitals shouldn't matter", 1),
            Said("check", "is_palindrome('') must be True"),
            Said("question", "does the slice make a copy?"),
            Said("change", "add a few longer ones there", 2),
            Said("rename", "is_palindrome -> reads_same"),
        ),
    ),
    Example(
        (
            Turn(
                "lies die Preise aus der Datei",
                'import csv\nrows = list(csv.DictReader(open("prices.csv")))\n'
                'prices = [float(row["price"]) for row in rows]',
            ),
            Turn("zeichne sie als Linie", "import matplotlib.pyplot as plt\nplt.plot(prices)\nplt.show()"),
        ),
        (
            Said("change", "Achsen beschriften fehlt", 2),
            Said("change", "das Komma ist bei uns das Dezimalzeichen", 1),
            Said("question", "was macht DictReader eigentlich"),
            Said("step", "und jetzt der gleitende Mittelwert über 7 Tage"),
            Said("rename", "prices soll preise heißen"),
            Said("talk", "super, sieht gut aus"),
            Said("check", "kein Preis darf negativ sein"),
        ),
    ),
)
