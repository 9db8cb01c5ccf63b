"""Opens a GGUF model for the kernels: laid out once, mapped afterwards, without importing torch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtchat.core.prompt import ModelCard
from mtchat.engine import lean
from mtchat.engine.convert import need_space, once, whole
from mtchat.engine.fingerprint import fingerprint as hash_weights
from mtchat.engine.header import read_gguf
from mtchat.engine.native import library, weights
from mtchat.engine.native.cores import threads
from mtchat.engine.precision import QUANTISED, machine_memory

if TYPE_CHECKING:
    from mtchat.engine.engine import Engine
    from mtchat.engine.native.decoder import NativeDecoder
    from mtchat.engine.speculate import Drafter

Report = Callable[[str, float | None], None]


def obstacle(file: Path) -> str:
    """Why the kernels cannot compute a model; "" where they can."""
    if not file.is_file():
        return "only GGUF files are read so"
    if not library.best():
        return "no kernels for this processor were built when mtchat was installed"
    return weights.obstacle(read_gguf(file))


def open_file(
    file: Path, name: str, fingerprint: str, draft: Path | None, cache: Path, report: Report
) -> "Engine":
    """The engine of a GGUF file; `draft` is that of a smaller model with the same tokens, to guess ahead."""
    from transformers import PreTrainedTokenizerFast

    from mtchat.engine.engine import Engine
    from mtchat.engine.native import warm

    folder = laid_out(file, fingerprint, cache, report)
    report("loading the model", None)
    decoder = decoder_of(folder)
    memory = cache / f"{folder.name}.seen.npz"
    warm.restore(decoder, memory)
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    card = ModelCard(
        name=name,
        architecture=weights.ARCHITECTURES[decoder.model.weights.architecture],
        chat=bool(getattr(tokenizer, "chat_template", None)),
        context=min(decoder.model.shape.context, decoder.model.capacity),
        fingerprint=fingerprint,
        precision=QUANTISED,
        marks=frozenset(tokenizer.added_tokens_encoder),
    )

    def close() -> None:
        warm.save(decoder, memory)

    guesser = drafter(draft, decoder, cache, report)
    return Engine(decoder, tokenizer, card, drafter=guesser, closing=close)


def drafter(
    draft: Path | None, decoder: "NativeDecoder", cache: Path, report: Report
) -> "Callable[[Sequence[int]], Drafter]":
    """What guesses ahead: a smaller model where there is one that fits, and in any case the text itself."""
    from mtchat.engine.speculate import Draft, Lookup

    if draft is None or obstacle(draft):
        return Lookup
    small = decoder_of(laid_out(draft, hash_weights([draft], cache, report), cache, report), decoder)
    if small.model.shape.vocabulary != decoder.model.shape.vocabulary:
        return Lookup
    return lambda ids: Draft(small, ids)


def decoder_of(folder: Path, partner: "NativeDecoder | None" = None) -> "NativeDecoder":
    from mtchat.engine.native.decoder import NativeDecoder
    from mtchat.engine.native.model import NativeModel, capacity

    found = weights.read(folder)
    room = capacity(found.shape, machine_memory())
    lender = partner.model if partner else None
    return NativeDecoder(NativeModel(found, library.best(), threads(), room, lender))


def laid_out(file: Path, fingerprint: str, cache: Path, report: Report) -> Path:
    """The folder of a model's tokenizer and its weights as the kernels read them; filled where it is new."""
    folder = cache / f"{fingerprint[:16]}-native-{weights.FORMAT}"

    def fill(part: Path) -> None:
        report("reading the model file", None)
        need_space(part, file.stat().st_size)
        weights.write(file, whole(file), part, report)
        report("reading the vocabulary, once", None)
        with lean.quickly() as transformers:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                file.parent, gguf_file=file.name, local_files_only=True
            )
        tokenizer.save_pretrained(part)

    once(folder, fill, report)
    return folder
