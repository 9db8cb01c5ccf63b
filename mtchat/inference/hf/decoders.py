"""The decoder and the engine of a model of transformers, by what its cache can do."""

from dataclasses import replace
from typing import Any

from mtchat.inference.engine import Engine
from mtchat.inference.hf.decoder import TorchDecoder
from mtchat.inference.hf.recurrent import RecurrentDecoder
from mtchat.inference.hf.resumption import Resumption, find_resumption, is_croppable
from mtchat.inference.hf.uncached import UncachedDecoder
from mtchat.session.prompt import ModelCard

NOTES = {
    Resumption.TOKENS: "transformers continues a text of this architecture one token at a time: what you add "
    "to a long session is read slowly",
    Resumption.NEVER: "transformers cannot save the state of this architecture, so that every token reads "
    "the whole text again: replies are slow",
}


def make_engine(model: Any, tokenizer: Any, card: ModelCard) -> Engine:
    """The engine of a model, with a note on its card if a state of it cannot be continued as others can."""
    configs = (model.generation_config, model.config)
    if is_croppable(model):
        return Engine(TorchDecoder(model), tokenizer, card, configs=configs)
    way = find_resumption(model)
    decoder: Any = UncachedDecoder(model) if way is Resumption.NEVER else RecurrentDecoder(model, way)
    if way in NOTES:
        card = replace(card, notes=(*card.notes, NOTES[way]))
    return Engine(decoder, tokenizer, card, configs=configs)
