"""Lets chance repeat itself: what a program draws without a seed of its own is the same in every run.

A turn that must run again, and a run from nothing, then draw what was shown before. It is as if the program
began with `random.seed(0)`, `numpy.random.seed(0)` and `torch.manual_seed(0)`. A seed that the program sets
counts, and what asks the system for chance (`secrets`, `os.urandom`, `uuid`, `random.seed()`) gets it.
"""

import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 0
DRAWN_BITS = 64


def seed_random(random: ModuleType) -> None:
    """The functions of the module, and each generator that is made without a seed."""
    random.seed(SEED)
    drawn = drawing(random)
    begin = random.Random.__init__

    def __init__(self: object, x: object = None) -> None:  # noqa: N807
        begin(self, drawn(DRAWN_BITS) if x is None else x)

    random.Random.__init__ = __init__


def drawing(random: ModuleType) -> "Callable[[int], int]":
    """A stream of bits that begins at the seed; its own, so that no draw of the program moves it."""
    draw: Callable[[int], int] = random.Random(SEED).getrandbits
    return draw


def seed_entropy(generators: ModuleType) -> None:
    """Where numpy looks for chance when a generator, such as `default_rng()`, is made without a seed."""
    if hasattr(generators, "randbits"):
        vars(generators).update(randbits=drawing(__import__("random")))


def seed_numpy(random: ModuleType) -> None:
    random.seed(SEED)


def seed_torch(torch: ModuleType) -> None:
    torch.default_generator.manual_seed(SEED)


def seed_polars(polars: ModuleType) -> None:
    polars.set_random_seed(SEED)


def leave_names(tempfile: ModuleType) -> None:
    """Names of temporary files are new in each process, so they must not use up what programs draw."""
    random = sys.modules["random"]
    system = random.SystemRandom()
    vars(tempfile).update(_Random=lambda: random.Random(system.getrandbits(DRAWN_BITS)))


SEEDERS = {
    "random": seed_random,
    "numpy.random": seed_numpy,
    "numpy.random.bit_generator": seed_entropy,
    "tempfile": leave_names,
    "torch": seed_torch,
    "polars": seed_polars,
}


def begin() -> "dict[str, Callable[[ModuleType], None]]":
    """Seed what is imported by now; what to do with the rest once it is."""
    for name in [name for name in SEEDERS if name in sys.modules]:
        SEEDERS[name](sys.modules[name])
    return {name: seed for name, seed in SEEDERS.items() if name not in sys.modules}
