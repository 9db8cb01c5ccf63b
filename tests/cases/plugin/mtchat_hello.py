"""A command, a policy and a model that an outside package adds to mtchat."""

from mtchat import Command, Policy
from mtchat.testing import FakeModel

PATIENT = Policy(samples=1, description="One more candidate, whatever the first one does.")


def do_shout(console, argument):
    """Says the last instruction in capitals."""
    console.view.say(console.chat.turn().instruction.upper() + argument)


SHOUT = Command("shout", do_shout, usage="[SIGN]")


def load_parrot(name, report):
    report("calling the parrot")
    return FakeModel({"define x": "x = 1"}, default="print('polly')", name=name)
