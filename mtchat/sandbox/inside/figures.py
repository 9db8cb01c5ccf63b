"""The matplotlib backend of the sandbox: what a window would show becomes figure-1.png, figure-2.png, ..."""

import atexit
import os
from itertools import count
from typing import Any

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg


class FigureManager(FigureManagerBase):
    """A figure without a window."""


class FigureCanvas(FigureCanvasAgg):
    """An Agg canvas that knows whether the program itself saved its figure to a file."""

    manager_class = FigureManager
    saved = False

    def print_figure(self, filename: Any, *args: Any, **kwargs: Any) -> Any:
        result = super().print_figure(filename, *args, **kwargs)
        self.saved = self.saved or isinstance(filename, (str, bytes, os.PathLike))
        return result


def show(block: bool | None = None) -> None:
    """Save every open figure and close it, as closing its window would; block=False leaves it open."""
    if block is False:
        return
    for manager in Gcf.get_all_fig_managers():
        save(manager)
    Gcf.destroy_all()


def save(manager: Any) -> None:
    canvas = manager.canvas
    if not getattr(canvas, "saved", False):
        canvas.print_figure(free_name(), dpi=canvas.figure.dpi)


def free_name() -> str:
    """The first figure-N.png that is not there yet; $HOME is the work folder."""
    names = (os.path.join(os.environ.get("HOME", "."), f"figure-{number}.png") for number in count(1))
    return next(name for name in names if not os.path.lexists(name))


owner = os.getpid()


def finish() -> None:
    """Save what is open when the program ends; a process that it forked leaves that to the first one."""
    if os.getpid() == owner:
        show()


atexit.register(finish)
