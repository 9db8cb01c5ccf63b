"""What a program shows without a screen: each picture or page becomes a file, as figure-1.png."""

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
    """The file of the first number that no picture has yet; $HOME is the work folder."""
    home = os.environ.get("HOME", ".")
    for number in count(1):
        stem = os.path.join(home, f"figure-{number}.")
        if not any(os.path.lexists(stem + each) for each in SUFFIXES):
            return stem + suffix
    raise AssertionError


def current_place() -> "PictureSource | None":
    """File and line of the program that are being run; None as it ends."""
    main = vars(sys.modules["__main__"])
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals is main:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None


def warn(message: str, made: "PictureSource | None" = None) -> None:
    """A warning whose place is the program's line or, as it ends, where something was made."""
    import warnings

    name, line = current_place() or made or ("the program", 0)
    warnings.warn_explicit(message, UserWarning, name, line)


def show_images(viewers: ModuleType) -> None:
    """Pillow's Image.show(), which starts a viewer."""

    def show(image: "Any", title: str | None = None, **options: object) -> bool:
        if image.mode not in PNG_MODES:
            image = image.convert("RGBA" if image.mode == "RGBa" else "RGB" if image.mode != "F" else "L")
        image.save(free_name(), format="PNG")
        return True

    vars(viewers).update(show=show)


def show_plots(renderers: ModuleType) -> None:
    """Plotly's show(), which serves a page to a browser; another renderer that is asked for is used."""
    render = renderers.show

    def show(fig: "Any", renderer: str | None = None, validate: bool = True, **kwargs: "Any") -> None:
        chosen = renderer or renderers.renderers.default
        if chosen and chosen != "browser":
            render(fig, renderer, validate, **kwargs)
            return
        page = {key: value for key, value in kwargs.items() if key in ("config", "auto_play")}
        sys.modules["plotly.io"].write_html(fig, free_name("html"), validate=validate, **page)

    vars(renderers).update(show=show)


def open_pages(webbrowser: ModuleType) -> None:
    """A page that is a file is kept; of any other it is said that nothing opens it."""

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
    """Whether a page is a file; one outside the work folder, which would be lost, is copied into it."""
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


def show_windows(cv2: ModuleType) -> None:
    """OpenCV's windows: what one shows last is its file. No key is ever pressed but the one waited for."""
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


def show_screen(display: ModuleType) -> None:
    """Pygame's window: its file has the last picture, or a later one where the program is stopped."""
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
            if pictures & (pictures - 1) == 0:  # rarely: to save one takes longer than to show it
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
    """The same at the end of all of it."""
    vars(pygame).update(quit=vars(pygame.display).pop("keep")(pygame.quit))


def note_saved_films(animation: ModuleType) -> None:
    """An animation that the program saved is not saved once more as a picture of its last frame."""
    save = animation.Animation.save

    def save_and_note(self: "Any", *arguments: "Any", **options: "Any") -> None:
        save(self, *arguments, **options)
        self._fig.canvas.saved, self._fig.stale = True, False

    animation.Animation.save = save_and_note


PICTURE_PATCHES: "dict[str, Callable[[ModuleType], None]]" = {
    "PIL.ImageShow": show_images,
    "plotly.io._renderers": show_plots,
    "webbrowser": open_pages,
    "cv2": show_windows,
    "pygame": keep_last_screen,
    "pygame.display": show_screen,
    "matplotlib.animation": note_saved_films,
}
