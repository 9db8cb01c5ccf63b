"""Files of any repository on the model hub: lists them, downloads and verifies some, and finds them again.

The list of a repository is saved with its files, so they are found and verified again without a network.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from mtchat.bundled_models import cache
from mtchat.bundled_models.catalogue import BundledModel, HubRepository
from mtchat.bundled_models.fetch import DOWNLOAD, FetchProgress, fetch, format_mib, free_bytes
from mtchat.bundled_models.partial import PartialFile, folder_lock, read_json, write_json, write_whole
from mtchat.bundled_models.sources import SourceError, hub_source, read_whole
from mtchat.errors import ModelError, reason

FOLDER = "hub"  # within the folder of models
RECORD = ".mtchat-files"  # no .json, which would count among the settings of a model folder
SECONDS = 15.0  # that the hub has to answer
DENIED = (401, 403)
BLOB_HASH = 40  # hex digits of git's hash
LARGEST_SMALL = 32 << 20  # bytes of a file that git itself keeps
HASH = 64  # hex digits of a SHA-256
OWN_ENDINGS = (
    ".part",
    ".part.json",
    ".verified.json",
    ".scratch",
    ".new",
)  # of what mtchat puts beside files
GGUF = ".gguf"
LOGIN = "log in with `hf auth login`, or set HF_TOKEN"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository; the hub gives the SHA-256 of large files and git's hash of all others."""

    path: str
    bytes: int
    sha256: str
    blob: str = ""


@dataclass(frozen=True)
class RepositoryFiles:
    """The files of a repository at a revision; `parameters` of its GGUF model, 0 if the hub does not say."""

    repository: str
    revision: str
    files: tuple[HubFile, ...]
    parameters: int = 0

    def model(self, file: HubFile) -> BundledModel:
        """A file as the download machinery sees it."""
        name = f"{self.repository}/{file.path}"
        return BundledModel(
            *(name, name, "", file.path, file.bytes, file.sha256),
            HubRepository(self.repository, self.revision),
        )


def repository_folder(repository: str, models: Path) -> Path:
    """Where the files of a repository are kept."""
    return models / FOLDER / repository.replace("/", "--")


def list_repository(
    repository: str, endpoint: str | None = None, seconds: float = SECONDS
) -> RepositoryFiles:
    """Ask the hub for the files of a repository; ModelError says why it does not tell."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        HTTPError,  # of its own HTTP client, which changes with its versions
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        found = HfApi(endpoint).model_info(repository, files_metadata=True, timeout=seconds)
    except GatedRepoError as error:
        raise ModelError(gated(repository)) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"the model hub has no {repository}, or it is private; check the name, or {LOGIN}"
        ) from error
    except HFValidationError as error:
        raise ModelError(f"{repository!r} is not a name on the model hub: {reason(error)}") from error
    except OfflineModeIsEnabled as error:
        raise ModelError(
            f"{repository} is not downloaded, and HF_HUB_OFFLINE forbids it; unset it"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "an error"
        raise ModelError(f"the model hub answered {status} for {repository}; try again later") from error
    except (HTTPError, OSError, ValueError) as error:
        raise ModelError(
            f"cannot reach the model hub for {repository} ({reason(error)}); check the network, or give a "
            "local .gguf file"
        ) from error
    files = tuple(
        HubFile(
            *(each.rfilename, each.size or 0, str(each.lfs["sha256"]) if each.lfs else ""),
            each.blob_id or "",
        )
        for each in found.siblings or ()
        if is_safe(each.rfilename)
    )
    total = (found.gguf or {}).get("total")
    return RepositoryFiles(repository, found.sha or "main", files, total if type(total) is int else 0)


def gated(repository: str) -> str:
    return f"{repository} is gated: accept its terms at https://huggingface.co/{repository}, then {LOGIN}"


def is_safe(path: str) -> bool:
    """Whether a path from the hub stays in its folder and is none that mtchat needs for itself."""
    parts = PurePosixPath(path).parts
    if not path.isprintable() or not parts or path.startswith("/") or ".." in parts:
        return False
    return parts[-1] != RECORD and not path.endswith(OWN_ENDINGS)


def saved_list(repository: str, models: Path) -> RepositoryFiles | None:
    """The list that was saved with the files of a repository; None if none was, or it is damaged."""
    try:
        entries = read_json(repository_folder(repository, models) / RECORD)
        files = tuple(HubFile(**each) for each in entries.pop("files", ()))
        found = RepositoryFiles(**{**entries, "files": files})
    except (TypeError, OSError):
        return None
    return found if found.repository == repository else None


def saved_repositories(models: Path) -> Iterator[RepositoryFiles]:
    """The repositories of which files were downloaded."""
    for record in sorted((models / FOLDER).glob(f"*/{RECORD}")):
        with suppress(OSError):  # one that this user may not read is none
            found = saved_list(str(read_json(record).get("repository", "")), models)
            if found is not None:
                yield found


def locate_files(listed: RepositoryFiles, files: Sequence[HubFile], models: Path) -> list[Path] | None:
    """The verified files; None if one is missing or changed."""
    folder = repository_folder(listed.repository, models)
    if all(is_verified(listed, each, folder / each.path) for each in files):
        return [folder / each.path for each in files]
    return None


def is_verified(listed: RepositoryFiles, file: HubFile, path: Path) -> bool:
    """Whether a file on disk is that of the hub."""
    if file.sha256:
        return cache.is_verified(listed.model(file), path)
    try:
        return path.stat().st_size == file.bytes and git_hash(path.read_bytes()) == file.blob
    except OSError:
        return False


def git_hash(content: bytes) -> str:
    """The hash by which git names a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def hub_cache() -> Path:
    """The hub's own cache, into which other programs download."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def cached_snapshot(repository: str, hub: Path) -> Path | None:
    """The folder of a repository in the hub's own cache; None if it is not there."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return folder / "snapshots" / revision


def cached_files(repository: str, hub: Path) -> list[tuple[HubFile, Path]]:
    """The files of a repository that are whole in the hub's own cache."""
    snapshot = cached_snapshot(repository, hub)
    found: list[tuple[HubFile, Path]] = []
    try:
        for path in sorted(snapshot.rglob("*")) if snapshot else ():
            if path.is_file():
                blob = path.resolve()
                digest = blob.name if len(blob.name) == HASH else ""
                name = path.relative_to(snapshot or path).as_posix()
                found.append((HubFile(name, blob.stat().st_size, digest), path))
    except OSError:
        return []
    return found


def cached_repositories(hub: Path) -> list[str]:
    """The repositories in the hub's own cache."""
    try:
        folders = sorted(hub.glob("models--*--*"))
    except OSError:
        return []
    return [each.name.removeprefix("models--").replace("--", "/", 1) for each in folders]


def fetch_files(
    listed: RepositoryFiles,
    files: Sequence[HubFile],
    models: Path,
    report: Callable[[FetchProgress], None],
    name: str,
    endpoint: str | None = None,
    measure_free: Callable[[Path], int] = free_bytes,
    as_folder: bool = False,
) -> list[Path]:
    """Download files and verify each by the hub's hash; an interrupted download resumes.

    The progress is that of all large files together, under `name`. `as_folder` says that the files are a
    model folder: what an earlier revision has left of one is deleted.
    """
    check_hashes(listed, files)
    folder = repository_folder(listed.repository, models)
    large = [listed.model(each) for each in files if each.sha256]
    try:
        for each in files:
            (folder / each.path).parent.mkdir(parents=True, exist_ok=True)
        record_files(listed, files, models, as_folder)
        check_total(name, large, folder, measure_free)
        for each in files:
            if not each.sha256:
                fetch_small(listed, each, folder, endpoint)
    except SourceError as error:
        raise ModelError(refused(listed.repository, name, str(error))) from error
    except OSError as error:
        raise ModelError(f"cannot write {name} to {folder}: {error.strerror or error}") from None
    total = sum(each.bytes for each in large)
    kept = sum(bytes_kept(each, folder) for each in large)
    done = 0
    for number, model in enumerate(large, 1):

        def tell(progress: FetchProgress, before: int = done, number: int = number) -> None:
            whole = progress.stage == DOWNLOAD
            report(
                replace(
                    progress,
                    name=name if len(large) == 1 else f"{name}, file {number} of {len(large)}",
                    done=before + progress.done if whole else progress.done,
                    total=total if whole else progress.total,
                    kept=kept,
                )
            )

        try:
            fetch(
                *(model.name, folder, tell),
                models=[model],
                sources=[hub_source(endpoint)],
                repacked=False,
                measure_free=measure_free,
            )
        except ModelError as error:
            if any(f"the server answered {code}" in str(error) for code in DENIED):
                raise ModelError(gated(listed.repository)) from error
            raise
        done += model.bytes
    return [folder / each.path for each in files]


def record_files(listed: RepositoryFiles, files: Sequence[HubFile], models: Path, as_folder: bool) -> None:
    """Save the list for files that will be downloaded; what is here of an earlier list stays known by it.

    A model folder is of one revision: either the earlier one is still here, or it gives way to the new one.
    """
    folder = repository_folder(listed.repository, models)
    wanted = {each.path for each in files}
    with folder_lock(folder):
        saved = saved_list(listed.repository, models)
        if saved is not None:
            others = [each for each in saved.files if each.path not in wanted]
            here = [each for each in others if (folder / each.path).exists()]
            kept = {each.path: each for each in here if is_gguf(each.path)}
            fresh = [each for each in listed.files if as_folder or is_gguf(each.path)]
            if as_folder:
                left = [each for each in others if not is_gguf(each.path)]
                delete_files(saved, left, folder)
            elif any(not is_gguf(each.path) for each in here):
                kept |= {each.path: each for each in others if not is_gguf(each.path)}
            else:
                fresh = [*listed.files]
            known = {each.path: each for each in fresh} | kept
            listed = replace(listed, files=tuple(known.values()))
        write_json(folder / RECORD, asdict(listed))


def is_gguf(path: str) -> bool:
    return path.lower().endswith(GGUF)


def check_hashes(listed: RepositoryFiles, files: Sequence[HubFile]) -> None:
    """ModelError if a file could not be verified: the hub gives no hash for it."""
    unknown = [
        each.path
        for each in files
        if (len(each.sha256) != HASH or not each.bytes) and (each.sha256 or len(each.blob) != BLOB_HASH)
    ]
    if unknown:
        raise ModelError(f"the hub gives no hash for {listed.repository}/{unknown[0]}, so it is not used")


def fetch_small(listed: RepositoryFiles, file: HubFile, folder: Path, endpoint: str | None) -> None:
    """Download a file that git itself keeps, in one piece; SourceError if that fails."""
    path = folder / file.path
    if is_verified(listed, file, path):
        return
    if file.bytes > LARGEST_SMALL:
        raise SourceError(f"{file.path} is too large for a file of git")
    content = read_whole(endpoint, listed.model(file))
    if git_hash(content) != file.blob:
        raise SourceError(f"{file.path} is not the file that the hub lists")
    write_whole(path, content)


def refused(repository: str, name: str, why: str) -> str:
    if any(f"the server answered {code}" in why for code in DENIED):
        return gated(repository)
    return f"cannot download {name} ({why}); check the network, then try again"


def bytes_kept(model: BundledModel, folder: Path) -> int:
    """The bytes of a file that are on disk already."""
    if (folder / model.file).exists():
        return model.bytes
    partial = PartialFile(model, folder)
    return partial.size(partial.kept())


def check_total(
    name: str, models: Sequence[BundledModel], folder: Path, measure_free: Callable[[Path], int]
) -> None:
    """ModelError if the disk is too small for what is still to be downloaded."""
    needed = sum(each.bytes - bytes_kept(each, folder) for each in models)
    found = measure_free(folder)
    if found < needed:
        raise ModelError(
            f"{name} needs {format_mib(needed)} in {folder}, but only {format_mib(found)} are free; "
            "free some space, or point XDG_CACHE_HOME to a larger disk"
        )


def remove_files(listed: RepositoryFiles, files: Sequence[HubFile], models: Path) -> int:
    """Delete files of a repository and their pieces; the bytes freed."""
    folder = repository_folder(listed.repository, models)
    freed = delete_files(listed, files, folder)
    if not any(each.is_file() and not each.name.startswith(".") for each in folder.rglob("*")):
        shutil.rmtree(folder, ignore_errors=True)
    return freed


def delete_files(listed: RepositoryFiles, files: Sequence[HubFile], folder: Path) -> int:
    freed = 0
    for each in files:
        if each.sha256:
            model = listed.model(each)
            freed += cache.remove(model.name, folder, [model])
        elif (folder / each.path).exists():
            freed += (folder / each.path).stat().st_blocks * 512
            (folder / each.path).unlink()
    return freed


def is_begun(listed: RepositoryFiles, file: HubFile, folder: Path) -> bool:
    """Whether a file, or a part of it, is on disk."""
    return (folder / file.path).exists() or PartialFile(listed.model(file), folder).path.exists()
