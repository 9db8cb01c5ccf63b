"""Answers in words: streamed as far as they are fit to be shown, bounded, and ended when they go round."""

from collections.abc import Iterator

from mtchat.generate.prompt.asking import kept
from mtchat.generate.writing import Complete
from mtchat.session.prompt import Prompt
from mtchat.session.settings import Sampling

LONGEST_ANSWER = 160  # tokens
LONGEST_LINE = 64
LEAST_WORDS = 3  # that an answer has; "1." explains nothing


def spoken(
    complete: Complete, prompt: Prompt, sentences: int, max_tokens: int = LONGEST_ANSWER
) -> Iterator[str]:
    """The words of an answer as they come, the likeliest ones: so many sentences at most.

    Nothing where the model has too few words to say.
    """
    text, shown, finish = "", 0, ""
    stream = complete(prompt, Sampling(max_tokens=max_tokens))
    try:
        for piece in stream:
            text, finish = text + piece.text, piece.usage.finish
            good = kept(text, sentences)
            if enough(good.text):
                yield good.text[shown:]
                shown = max(shown, len(good.text))
            if good.finished:
                return
        good = kept(text, sentences, whole=True)
        if enough(good.text):
            yield good.text[shown:] + (" …" if finish == "length" and not good.finished else "")
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()


def enough(text: str) -> bool:
    words = [word for word in text.split() if any(sign.isalpha() for sign in word)]
    return len(words) >= LEAST_WORDS


def spoken_whole(complete: Complete, prompt: Prompt, max_tokens: int = LONGEST_ANSWER) -> str:
    """All that is answered, as the model wrote it, for those who take it apart themselves."""
    stream = complete(prompt, Sampling(max_tokens=max_tokens))
    try:
        return "".join(piece.text for piece in stream)
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()
