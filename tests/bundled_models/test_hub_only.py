"""Models that only the hub has: in chunks of the file, resumed, verified, with room for the repacked copy."""

import hashlib
from collections.abc import Generator
from pathlib import Path

import pytest

from mtchat.bundled_models import catalogue
from mtchat.bundled_models.catalogue import CHUNK, BundledModel, HubRepository
from mtchat.bundled_models.fetch import default_sources, fetch
from mtchat.bundled_models.partial import PartialFile
from mtchat.bundled_models.sources import ModelSource, OnBytes, SourceError, hub_source
from mtchat.errors import ModelError
from tests.support.local_hub import hub_of, silent_port

MIB = 1 << 20
SIZE = 2 * CHUNK + 5 * MIB
REPOSITORY = "us/large"


def zeros_hash() -> str:
    digest = hashlib.sha256()
    for _ in range(SIZE // MIB):
        digest.update(bytes(MIB))
    return digest.hexdigest()


LARGE = BundledModel(
    *("large", "A large model", "MIT", "large.gguf", SIZE, zeros_hash()), HubRepository(REPOSITORY, "abc")
)


def get(folder: Path, source: ModelSource, model: BundledModel = LARGE, free: int = 10 * SIZE) -> Path:
    return fetch(model.name, folder, models=[model], sources=[source], measure_free=lambda _: free)


def zeros(model: BundledModel, piece: int, scratch: Path, watch: OnBytes) -> Generator[bytes, None, None]:
    for _ in range(model.piece_bytes(piece) // MIB):
        watch(MIB)
        yield bytes(MIB)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_pieces_are_chunks_of_the_file() -> None:
    assert [LARGE.piece_bytes(each) for each in range(LARGE.pieces)] == [CHUNK, CHUNK, 5 * MIB]
    assert LARGE.start(2) == 2 * CHUNK
    assert not LARGE.is_starter


def test_only_the_hub_is_asked() -> None:
    assert [each.name for each in default_sources(LARGE)] == ["hub"]
    assert [each.name for each in default_sources(catalogue.find("starter"))] == ["hub", "packages"]


@pytest.mark.slow
def test_the_hub_delivers_the_file_and_it_is_verified(tmp_path: Path) -> None:
    with hub_of(REPOSITORY, SIZE) as endpoint:
        path = get(tmp_path, hub_source(endpoint))
    assert path.stat().st_size == SIZE
    assert names(tmp_path) == {"large.gguf", "large.gguf.verified.json"}


@pytest.mark.slow
def test_bytes_that_are_not_the_official_ones_are_deleted(tmp_path: Path) -> None:
    content = bytes(SIZE - 1) + b"!"
    with (
        hub_of(REPOSITORY, SIZE, content) as endpoint,
        pytest.raises(ModelError, match="not the official file and was deleted"),
    ):
        get(tmp_path, hub_source(endpoint))
    assert names(tmp_path) == set()


def test_a_download_that_breaks_is_resumed_with_the_missing_chunks(tmp_path: Path) -> None:
    asked: list[int] = []

    def breaks(
        model: BundledModel, piece: int, scratch: Path, watch: OnBytes
    ) -> Generator[bytes, None, None]:
        if piece == 1:
            raise SourceError("connection reset")
        yield from zeros(model, piece, scratch, watch)

    def noted(model: BundledModel, piece: int, scratch: Path, watch: OnBytes) -> Generator[bytes, None, None]:
        asked.append(piece)
        yield from zeros(model, piece, scratch, watch)

    with pytest.raises(ModelError, match=r"hub: connection reset\nCheck the connection .* 1 of 3 pieces"):
        get(tmp_path, ModelSource("hub", lambda model: None, breaks))
    assert list(PartialFile(LARGE, tmp_path).kept()) == [0]
    get(tmp_path, ModelSource("hub", lambda model: None, noted))
    assert asked == [1, 2]


def test_a_hub_that_is_silent_is_given_up_and_the_error_names_the_file(tmp_path: Path) -> None:
    with silent_port() as endpoint, pytest.raises(ModelError) as caught:
        get(tmp_path, hub_source(endpoint, seconds=0.2))
    assert str(caught.value).splitlines() == [
        "cannot download large:",
        "  hub: no answer in 0.2 s",
        "Check the connection and the proxy, then try again: 0 of 3 pieces are kept. Or download",
        "  https://huggingface.co/us/large/resolve/abc/large.gguf",
        "on another machine and copy it to",
        f"  {tmp_path / 'large.gguf'}",
        "mtchat then verifies it and knows it by its name",
    ]


def test_a_file_of_another_length_is_refused_at_once(tmp_path: Path) -> None:
    with (
        hub_of(REPOSITORY, SIZE + 1) as endpoint,
        pytest.raises(ModelError, match="hub: the server answered, but not with this file"),
    ):
        get(tmp_path, hub_source(endpoint))


def test_a_file_that_was_copied_there_is_verified_and_used(tmp_path: Path) -> None:
    with (tmp_path / "large.gguf").open("wb") as stream:
        stream.truncate(SIZE)

    def fails(model: BundledModel) -> None:
        raise SourceError("no network")

    assert get(tmp_path, ModelSource("hub", fails, zeros)) == tmp_path / "large.gguf"


@pytest.mark.parametrize(("free", "fits"), [(SIZE, False), (2 * SIZE, False), (2 * SIZE + SIZE // 30, True)])
def test_the_disk_must_hold_the_file_and_its_repacked_copy(tmp_path: Path, free: int, fits: bool) -> None:
    source = ModelSource("hub", lambda model: None, zeros)
    if fits:
        assert get(tmp_path, source, free=free).exists()
        return
    with pytest.raises(ModelError, match=r"large needs 271 MiB in .*, 138 MiB of it for its repacked copy"):
        get(tmp_path, source, free=free)
    assert names(tmp_path) == set()
