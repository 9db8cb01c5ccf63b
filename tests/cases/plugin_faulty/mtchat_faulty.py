"""What can be wrong with commands, policies and models of an outside package."""

from mtchat import Command, ModelCard
from mtchat.testing import FakeModel


def do_boom(console, argument):
    """Fails as no command should."""
    raise ValueError("boom in a command")


def complete_boom(console):
    raise ValueError("boom in a completion")


def do_forward(console):
    """Takes too little."""


BOOM = Command("boom", do_boom, complete=complete_boom)
FORWARD = Command("forward", do_forward)
NOT_A_COMMAND = do_boom
NOT_A_POLICY = "text"
NOT_A_FUNCTION = 3


def load_none(name, report):
    return None


def load_unreadable(name, report):
    raise OSError("disk gone")


class Strings(FakeModel):
    """Writes text in place of pieces."""

    def complete(self, prompt, sampling):
        yield from ("x = ", "1")


def load_strings(name, report):
    return Strings({}, name=name)


def load_mute(name, report):
    model = FakeModel({}, default="x = 1", name=name)
    model.card = ModelCard("mute", architecture="Mute")
    return model
