"""The matplotlib backend of the sandbox: what a window would show becomes figure-1.png, figure-2.png, ..."""

import atexit
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import matplotlib
from matplotlib import _blocking_input
from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mtchat.sandbox.guest.patches.pictures import PictureSource, current_place, free_name, warn

MOST_FRAMES = 60
MOST_GROWTH = 2.0  # how far labels may reach beyond a figure before they are taken for astray


class FigureCanvas(FigureCanvasAgg):
    """An Agg canvas that knows what a window would have shown, and what the program itself saved to a file.

    `saved` holds until the figure is drawn on; `place` is where the program made it.
    """

    saved = shown = False
    place: "PictureSource | None" = None

    def draw(self) -> None:
        self.saved = self.saved and not self.figure.stale
        super().draw()  # type: ignore[no-untyped-call]


class FigureManager(FigureManagerBase):
    """A figure without a window: closing one that was shown saves it, as it was seen last."""

    def __init__(self, canvas: Any, num: int | str) -> None:
        super().__init__(canvas, num)
        canvas.place = current_place()

    def show(self) -> None:
        vars(self.canvas).update(shown=True)

    def destroy(self) -> None:
        """Also one of an earlier turn is saved, since it was seen as that turn ended."""
        made, now = getattr(self.canvas, "place", None), current_place()
        earlier = made is not None and now is not None and made[0] != now[0]
        if getattr(self.canvas, "shown", False) or matplotlib.is_interactive() or earlier:
            save(self)


FigureCanvas.manager_class = FigureManager  # type: ignore[assignment]


def show(block: bool | None = None) -> None:
    """Save every open figure and close it, as closing its window would; block=False leaves it open."""
    managers = Gcf.get_all_fig_managers()
    if block is False or (block is None and matplotlib.is_interactive()):
        for manager in managers:
            manager.show()
        return
    for manager in managers:
        save(manager)
    Gcf.destroy_all()


def save(manager: Any) -> None:
    """Save a figure unless the program has saved it as it is; warnings name the program as their place.

    One that cannot be drawn is not tried again before the program has drawn on it.
    """
    canvas = manager.canvas
    if getattr(canvas, "saved", False) and not canvas.figure.stale:
        return
    with warnings.catch_warnings(record=True) as caught:
        try:
            film = animation_of(canvas)
            if film is not None:
                save_film(film)
            else:
                canvas.print_figure(free_name(), dpi=canvas.figure.dpi, bbox_inches=bounds(canvas.figure))
        finally:
            canvas.saved, canvas.figure.stale = True, False
    for each in {str(each.message): each for each in caught}.values():
        if each.filename.startswith(os.path.dirname(__file__)):
            name, line = current_place() or getattr(canvas, "place", None) or ("the program", 0)
            warnings.warn_explicit(each.message, each.category, name, line)
        else:
            warnings.showwarning(each.message, each.category, each.filename, each.lineno)


def bounds(figure: Any) -> str | None:
    """Whether to save what reaches beyond the figure too, such as long labels, but no text far astray."""
    box, size = figure.get_tightbbox(), figure.get_size_inches()
    fits = all(inches <= MOST_GROWTH * most for inches, most in zip(box.size, size, strict=True))
    return "tight" if fits and min(box.size) > 0 else None


def animation_of(canvas: Any) -> Any:
    """The animation that would begin with the first drawing of the figure; None where none waits for it."""
    module = sys.modules.get("matplotlib.animation")
    waiting = canvas.callbacks.callbacks.get("draw_event", {}).values() if module else ()
    owners = [getattr(call(), "__self__", None) for call in waiting]
    return next((each for each in owners if isinstance(each, module.Animation)), None) if module else None


def save_film(film: Any) -> None:
    """The first frames of an animation as a GIF."""
    frames, file, whole = film.new_saved_frame_seq, free_name("gif"), True

    def first() -> Iterator[Any]:
        nonlocal whole
        for number, frame in enumerate(frames()):
            whole = number < MOST_FRAMES
            if not whole:
                return
            yield frame

    film.new_saved_frame_seq = first
    try:
        film.save(file, writer="pillow")
    finally:
        del film.new_saved_frame_seq
    if not whole:
        told = (
            f"{os.path.basename(file)} has the first {MOST_FRAMES} frames; the animation's save() writes all"
        )
        warn(told, film._fig.canvas.place)


save_figure = Figure.savefig


def savefig(self: Figure, fname: Any, *args: Any, **kwargs: Any) -> None:
    """Note that the figure is in a file as it is now."""
    save_figure(self, fname, *args, **kwargs)
    if isinstance(fname, (str, bytes, os.PathLike)) or is_file(fname):
        self.canvas.saved, self.stale = True, False  # type: ignore[attr-defined]


def is_file(target: Any) -> bool:
    """Whether what a figure is written to is a file, and no buffer."""
    return isinstance(getattr(target, "name", None), str) and os.path.isfile(target.name)


def wait_for_nobody(figure: Figure, *args: Any, **kwargs: Any) -> None:
    """What ginput() and waitforbuttonpress() wait with, for up to half a minute."""
    warn("the sandbox has no window, so no click or key press will arrive")


Figure.savefig = savefig  # type: ignore[method-assign]
vars(_blocking_input).update(blocking_input_loop=wait_for_nobody)
owner = os.getpid()


def finish() -> None:
    """Save what is open when the program ends; a process that it forked leaves that to the first one."""
    if os.getpid() != owner:
        return
    for manager in Gcf.get_all_fig_managers():
        try:
            save(manager)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            warn(f"a figure cannot be drawn: {reason}", getattr(manager.canvas, "place", None))
    Gcf.destroy_all()


atexit.register(finish)
