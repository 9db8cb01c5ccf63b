"""Parrots are prompted with a dialogue: what the user says, the code, and a fence where the code ends."""

from mtchat import PYTHON, Cut, Prompt

END = "\n```"


def matches(card):
    return card.name == "parrot"


def dialogue(path, preamble):
    turns = (f"USER: {turn.full_instruction}\n{turn.chunk}{END}\n" for turn in path)
    return preamble + "".join(turns)


def render(path, instruction, preamble, error, guidance=(), language=PYTHON):
    problem = f"ERROR: {error}\n" if error else ""
    return Prompt(text=f"{dialogue(path, preamble)}{problem}USER: {instruction}")


def repair(path, preamble, error, guidance=(), language=PYTHON):
    asked = f"ERROR: {error}\nUSER: Write it again: {path[-1].full_instruction}"
    return Prompt(text=dialogue(path, preamble) + asked)


def revise(path, preamble, wish, guidance=(), language=PYTHON):
    return Prompt(text=f"{dialogue(path, preamble)}USER: Change that: {wish}")


def cut(text, language=PYTHON):
    code, end, _ = text.partition(END)
    return Cut(code, finished=bool(end))


def chunk(text, before, language=PYTHON):
    return cut(text, language).code.strip("\n")
