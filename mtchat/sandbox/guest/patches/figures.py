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

from mtchat.sandbox.guest.patches.pictures import PictureSource, current_location, free_name, warn

MOST_FRAMES = 60
MOST_GROWTH = 2.0  # text that reaches further beyond a figure is not included


class FigureCanvas(FigureCanvasAgg):
    """An Agg canvas that knows whether its figure was shown, and whether the program saved it itself.

    `saved` holds until the figure changes; `place` is where the program created it.
    """

    saved = shown = False
    place: "PictureSource | None" = None

    def draw(self) -> None:
        self.saved = self.saved and not self.figure.stale
        super().draw()  # type: ignore[no-untyped-call]


class FigureManager(FigureManagerBase):
    """A figure without a window: closing one that was shown saves it as it was last shown."""

    def __init__(self, canvas: Any, num: int | str) -> None:
        super().__init__(canvas, num)
        canvas.place = current_location()

    def show(self) -> None:
        vars(self.canvas).update(shown=True)

    def destroy(self) -> None:
        """Save the figure if it was shown, or if an earlier turn made it and ended with it open."""
        made, now = getattr(self.canvas, "place", None), current_location()
        earlier = made is not None and now is not None and made[0] != now[0]
        if getattr(self.canvas, "shown", False) or matplotlib.is_interactive() or earlier:
            save(self)


FigureCanvas.manager_class = FigureManager  # type: ignore[assignment]


def show(block: bool | None = None) -> None:
    """Save and close every open figure, as if its window were closed; block=False leaves them open."""
    managers = Gcf.get_all_fig_managers()
    if block is False or (block is None and matplotlib.is_interactive()):
        for manager in managers:
            manager.show()
        return
    for manager in managers:
        save(manager)
    Gcf.destroy_all()


def save(manager: Any) -> None:
    """Save a figure unless the program has already saved it; warnings point to the program's line.

    A figure that cannot be drawn is not tried again until it changes.
    """
    canvas = manager.canvas
    if getattr(canvas, "saved", False) and not canvas.figure.stale:
        return
    with warnings.catch_warnings(record=True) as caught:
        try:
            film = find_animation(canvas)
            if film is not None:
                save_animation(film)
            else:
                canvas.print_figure(
                    free_name(), dpi=canvas.figure.dpi, bbox_inches=bounding_box(canvas.figure)
                )
        finally:
            canvas.saved, canvas.figure.stale = True, False
    for each in {str(each.message): each for each in caught}.values():
        if each.filename.startswith(os.path.dirname(__file__)):
            name, line = current_location() or getattr(canvas, "place", None) or ("the program", 0)
            warnings.warn_explicit(each.message, each.category, name, line)
        else:
            warnings.showwarning(each.message, each.category, each.filename, each.lineno)


def bounding_box(figure: Any) -> str | None:
    """Whether to include what reaches beyond the figure, such as long labels, but no text far away."""
    box, size = figure.get_tightbbox(), figure.get_size_inches()
    fits = all(inches <= MOST_GROWTH * most for inches, most in zip(box.size, size, strict=True))
    return "tight" if fits and min(box.size) > 0 else None


def find_animation(canvas: Any) -> Any:
    """The animation that starts when the figure is first drawn, if there is one."""
    module = sys.modules.get("matplotlib.animation")
    waiting = canvas.callbacks.callbacks.get("draw_event", {}).values() if module else ()
    owners = [getattr(call(), "__self__", None) for call in waiting]
    return next((each for each in owners if isinstance(each, module.Animation)), None) if module else None


def save_animation(film: Any) -> None:
    """Save the first frames of an animation as a GIF."""
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
    """Record that the figure has been saved as it is now."""
    save_figure(self, fname, *args, **kwargs)
    if isinstance(fname, (str, bytes, os.PathLike)) or is_file(fname):
        self.canvas.saved, self.stale = True, False  # type: ignore[attr-defined]


def is_file(target: Any) -> bool:
    """Whether a figure is written to a file, and not to a buffer."""
    return isinstance(getattr(target, "name", None), str) and os.path.isfile(target.name)


def warn_no_window(figure: Figure, *args: Any, **kwargs: Any) -> None:
    """Replaces the wait of ginput() and waitforbuttonpress(), which can take half a minute."""
    warn("the sandbox has no window, so no click or key press will arrive")


Figure.savefig = savefig  # type: ignore[method-assign]
vars(_blocking_input).update(blocking_input_loop=warn_no_window)
owner = os.getpid()


def finish() -> None:
    """Save open figures when the program ends; processes that it forked leave that to the first one."""
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
