"""Files of any repository on the model hub: lists them, downloads and verifies some, and finds them again.

The list of a repository is saved with its files, so they are found and verified again without a network.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from mtchat.bundled_models import cache
from mtchat.bundled_models.catalogue import BundledModel, HubRepository
from mtchat.bundled_models.fetch import DOWNLOAD, FetchProgress, fetch, format_mib, free_bytes
from mtchat.bundled_models.partial import PartialFile, read_json, write_json
from mtchat.bundled_models.sources import hub_source
from mtchat.errors import ModelError, reason

FOLDER = "hub"  # within the folder of models
RECORD = "repository.json"
SECONDS = 15.0  # that the hub has to answer
DENIED = (401, 403)
HASH = 64  # hex digits of a SHA-256
LOGIN = "log in with `hf auth login`, or set HF_TOKEN"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository; `sha256` is "" if the hub does not say."""

    path: str
    bytes: int
    sha256: str


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
        HubFile(each.rfilename, each.size or 0, str(each.lfs["sha256"]) if each.lfs else "")
        for each in found.siblings or ()
        if is_safe(each.rfilename)
    )
    total = (found.gguf or {}).get("total")
    return RepositoryFiles(repository, found.sha or "main", files, total if type(total) is int else 0)


def gated(repository: str) -> str:
    return f"{repository} is gated: accept its terms at https://huggingface.co/{repository}, then {LOGIN}"


def is_safe(path: str) -> bool:
    """Whether a path from the hub stays in its folder."""
    parts = PurePosixPath(path).parts
    return path.isprintable() and bool(parts) and not path.startswith("/") and ".." not in parts


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
        found = saved_list(str(read_json(record).get("repository", "")), models)
        if found is not None:
            yield found


def locate_files(listed: RepositoryFiles, files: Sequence[HubFile], models: Path) -> list[Path] | None:
    """The verified files; None if one is missing or changed."""
    folder = repository_folder(listed.repository, models)
    if all(cache.is_verified(listed.model(each), folder / each.path) for each in files):
        return [folder / each.path for each in files]
    return None


def hub_cache() -> Path:
    """The hub's own cache, into which other programs download."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def cached_files(repository: str, hub: Path) -> list[tuple[HubFile, Path]]:
    """The files of a repository that are whole in the hub's own cache."""
    found: list[tuple[HubFile, Path]] = []
    folder = hub / f"models--{repository.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text("utf-8").strip()
        snapshot = folder / "snapshots" / revision
        for path in sorted(snapshot.rglob("*")):
            if path.is_file():
                blob = path.resolve()
                digest = blob.name if len(blob.name) == HASH else ""
                name = path.relative_to(snapshot).as_posix()
                found.append((HubFile(name, blob.stat().st_size, digest), path))
    except (OSError, UnicodeDecodeError):
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
) -> list[Path]:
    """Download files and verify each by the hub's SHA-256; an interrupted download resumes.

    The progress is that of all files together, under `name`.
    """
    if unknown := [each.path for each in files if len(each.sha256) != HASH or not each.bytes]:
        raise ModelError(f"the hub gives no SHA-256 for {listed.repository}/{unknown[0]}; it is not used")
    folder = repository_folder(listed.repository, models)
    fetched = [listed.model(each) for each in files]
    try:
        for each in files:
            (folder / each.path).parent.mkdir(parents=True, exist_ok=True)
        write_json(folder / RECORD, asdict(listed))
        check_total(name, fetched, folder, measure_free)
    except OSError as error:
        raise ModelError(f"cannot write {name} to {folder}: {error.strerror or error}") from None
    total = sum(each.bytes for each in files)
    kept = sum(bytes_kept(each, folder) for each in fetched)
    paths, done = [], 0
    for number, model in enumerate(fetched, 1):

        def tell(progress: FetchProgress, before: int = done, number: int = number) -> None:
            whole = progress.stage == DOWNLOAD
            report(
                replace(
                    progress,
                    name=name if len(files) == 1 else f"{name}, file {number} of {len(files)}",
                    done=before + progress.done if whole else progress.done,
                    total=total if whole else progress.total,
                    kept=kept,
                )
            )

        try:
            paths.append(
                fetch(
                    *(model.name, folder, tell),
                    models=[model],
                    sources=[hub_source(endpoint)],
                    repacked=False,
                    measure_free=measure_free,
                )
            )
        except ModelError as error:
            if any(f"the server answered {code}" in str(error) for code in DENIED):
                raise ModelError(gated(listed.repository)) from error
            raise
        done += model.bytes
    return paths


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
    freed = sum(cache.remove(listed.model(each).name, folder, [listed.model(each)]) for each in files)
    remaining = [each for each in folder.rglob("*") if each.is_file() and each.name != RECORD]
    if not remaining:
        shutil.rmtree(folder, ignore_errors=True)
    return freed
