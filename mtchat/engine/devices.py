"""The accelerators that torch can use here."""


def gpus() -> tuple[str, ...]:
    """Their names, in order; none on a machine without one."""
    import torch

    return tuple(torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count()))
