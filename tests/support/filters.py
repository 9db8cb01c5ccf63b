"""A system call filter, judged as the kernel does: by the few instructions that filters use."""

import struct

from mtchat.sandbox.policy import seccomp


def judged(code: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel returns for a call: the few instructions that the filters use."""
    words = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, arch, 0, *words)
    steps = list(struct.iter_unpack("=HBBI", code))
    at, loaded = 0, 0
    while True:
        operation, then, otherwise, value = steps[at]
        at += 1
        if operation == seccomp.RETURN:
            return int(value)
        if operation == seccomp.LOAD:
            loaded = struct.unpack_from("<I", data, value)[0]
        elif operation == seccomp.KEEP_BITS:
            loaded &= value
        else:
            tests = {
                seccomp.EQUAL: loaded == value,
                seccomp.AT_LEAST: loaded >= value,
                seccomp.ANY_BIT: bool(loaded & value),
            }
            at += then if tests[operation] else otherwise
