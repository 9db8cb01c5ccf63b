"""A family that lacks two functions."""


def render(path, instruction, preamble, error, guidance=(), language=None):
    raise NotImplementedError


repair = revise = chunk = render
