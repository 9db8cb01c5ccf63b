"""What a program shows becomes a file, because there is no screen: figure-1.png, figure-2.html, ..."""

import os
import sys
from itertools import count
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SUFFIXES = ("png", "gif", "html")
PNG_MODES = ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA")
ESCAPE, NO_KEY = 27, -1
PictureSource = tuple[str, int]


def free_name(suffix: str = "png") -> str:
    """The file name with the first free number; $HOME is the work folder."""
    home = os.environ.get("HOME", ".")
    for number in count(1):
        stem = os.path.join(home, f"figure-{number}.")
        if not any(os.path.lexists(stem + each) for each in SUFFIXES):
            return stem + suffix
    raise AssertionError


def current_location() -> "PictureSource | None":
    """The file and line of the program that run now; None while it ends."""
    main = vars(sys.modules["__main__"])
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals is main:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None


def warn(message: str, made: "PictureSource | None" = None) -> None:
    """Warn with the current line of the program or, while it ends, the line where something was created."""
    import warnings

    name, line = current_location() or made or ("the program", 0)
    warnings.warn_explicit(message, UserWarning, name, line)


def save_images(viewers: ModuleType) -> None:
    """Make Pillow's Image.show() save the image instead of starting a viewer."""

    def show(image: "Any", title: str | None = None, **options: object) -> bool:
        if image.mode not in PNG_MODES:
            image = image.convert("RGBA" if image.mode == "RGBa" else "RGB" if image.mode != "F" else "L")
        image.save(free_name(), format="PNG")
        return True

    vars(viewers).update(show=show)


def save_plots(renderers: ModuleType) -> None:
    """Make Plotly's show() save a page instead of opening a browser; an explicit renderer is used."""
    render = renderers.show

    def show(fig: "Any", renderer: str | None = None, validate: bool = True, **kwargs: "Any") -> None:
        chosen = renderer or renderers.renderers.default
        if chosen and chosen != "browser":
            render(fig, renderer, validate, **kwargs)
            return
        page = {key: value for key, value in kwargs.items() if key in ("config", "auto_play")}
        sys.modules["plotly.io"].write_html(fig, free_name("html"), validate=validate, **page)

    vars(renderers).update(show=show)


def keep_pages(webbrowser: ModuleType) -> None:
    """Make webbrowser keep pages that are files, and warn about all others."""

    def open(url: str, new: int = 0, autoraise: bool = True) -> bool:
        if not keep_page(url):
            warn(f"the sandbox has no browser, so {url[:200]} was not opened")
        return False

    vars(webbrowser).update(
        open=open,
        open_new=lambda url: open(url, 1),
        open_new_tab=lambda url: open(url, 2),
    )


def keep_page(url: str) -> bool:
    """Whether a page is a file; one outside the work folder is copied into it."""
    import shutil
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(url)
    path = os.path.abspath(unquote(parts.path) if parts.scheme == "file" else url)
    if not os.path.isfile(path):
        return False
    suffix = os.path.splitext(path)[1].lstrip(".").lower()
    if not path.startswith(os.path.join(os.environ.get("HOME", "."), "")):
        shutil.copyfile(path, free_name(suffix if suffix in SUFFIXES else "html"))
    return True


def save_windows(cv2: ModuleType) -> None:
    """Make each OpenCV window a file with its last picture; only a wait without a time limit gets a key."""
    files: dict[str, str] = {}

    def imshow(winname: str, mat: "Any") -> None:
        kind = mat.dtype.kind
        if kind == "f":
            mat = (mat * 255).clip(0, 255)
        elif mat.dtype.itemsize == 2:
            mat = mat / 256 + (128 if kind == "i" else 0)
        if winname not in files:
            files[winname] = free_name()
        cv2.imwrite(files[winname], mat.astype("uint8"))

    def close(winname: str | None = None) -> None:
        files.clear() if winname is None else files.pop(winname, None)

    def ignore(*arguments: object, **options: object) -> None:
        return

    def wait(delay: int = 0) -> int:
        return NO_KEY if delay > 0 else ESCAPE

    names = ("namedWindow", "moveWindow", "resizeWindow", "setWindowTitle", "setMouseCallback")
    vars(cv2).update(dict.fromkeys((*names, "createTrackbar", "setWindowProperty"), ignore))
    vars(cv2).update(imshow=imshow, destroyWindow=close, destroyAllWindows=close)
    vars(cv2).update(waitKey=wait, waitKeyEx=wait, pollKey=lambda: NO_KEY)
    vars(cv2).update(getWindowProperty=lambda winname, prop: 1.0 if winname in files else -1.0)


def save_screen(display: ModuleType) -> None:
    """Make pygame's window a file with its last picture, or with a recent one if the program is stopped."""
    import atexit

    file, pictures = "", 0

    def keep() -> None:
        nonlocal file
        surface = display.get_surface() if pictures and display.get_init() else None
        if surface is not None:
            file = file or free_name()
            sys.modules["pygame.image"].save(surface, file)

    def after(show: "Callable[..., None]") -> "Callable[..., None]":
        def show_and_keep(*areas: object) -> None:
            nonlocal pictures
            show(*areas)
            pictures += 1
            if pictures == 1:
                atexit.register(keep)
            if pictures & (pictures - 1) == 0:  # rarely, because saving takes longer than showing
                keep()

        return show_and_keep

    def before(end: "Callable[[], None]") -> "Callable[[], None]":
        def keep_and_end() -> None:
            keep()
            end()

        return keep_and_end

    vars(display).update(flip=after(display.flip), update=after(display.update), quit=before(display.quit))
    vars(display).update(keep=before)


def keep_last_screen(pygame: ModuleType) -> None:
    """The same when pygame ends."""
    vars(pygame).update(quit=vars(pygame.display).pop("keep")(pygame.quit))


def record_saved_animations(animation: ModuleType) -> None:
    """Record animations that the program saves, so that they are not saved again as a picture."""
    save = animation.Animation.save

    def save_and_note(self: "Any", *arguments: "Any", **options: "Any") -> None:
        save(self, *arguments, **options)
        self._fig.canvas.saved, self._fig.stale = True, False

    animation.Animation.save = save_and_note


PICTURE_PATCHES: "dict[str, Callable[[ModuleType], None]]" = {
    "PIL.ImageShow": save_images,
    "plotly.io._renderers": save_plots,
    "webbrowser": keep_pages,
    "cv2": save_windows,
    "pygame": keep_last_screen,
    "pygame.display": save_screen,
    "matplotlib.animation": record_saved_animations,
}
