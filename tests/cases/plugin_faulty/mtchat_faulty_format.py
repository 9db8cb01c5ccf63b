"""A format without a suffix."""


def write(session):
    return ""
