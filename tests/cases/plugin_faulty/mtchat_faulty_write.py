"""A format that cannot be written."""

SUFFIX = ".bad"


def write(session):
    raise KeyError("colour")
