"""Shows what stands in the input line sign for sign: a text that is offered to edit is not trusted either."""

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput

from mtchat.session.escape import held


class SignForSign(Processor):
    """One visible sign for each that acts on a terminal or cannot be seen; places in the text stay."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        shown: StyleAndTextTuples = [(each[0], held(each[1])) for each in transformation_input.fragments]
        return Transformation(shown)
