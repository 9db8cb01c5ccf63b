"""GGUF models from a hub: listed, chosen, downloaded, verified, resumed, and found again offline."""

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from mtchat.bundled_models import hub_files
from mtchat.bundled_models.catalogue import CHUNK
from mtchat.bundled_models.fetch import FetchProgress, describe_progress
from mtchat.bundled_models.hub_files import HubFile
from mtchat.errors import ModelError
from mtchat.inference.loaders import model_cache
from mtchat.models import hub_models, local_stores
from mtchat.models.gguf_choice import HubName, parse_name
from mtchat.models.hub_models import LocatedModel, find_in_folder
from mtchat.models.loader import refuse_excess
from tests.support.local_hub import hub_with, silent_port
from tests.support.model_stores import folders_in, put_into_hub_cache

REPOSITORY = "owner/repo"
FILES = {
    "README.md": b"# it",
    "m-Q4_K_M.gguf": b"GGUF" + b"4" * 5000,
    "m-Q8_0-00001-of-00002.gguf": b"GGUF" + b"8" * 9000,
    "m-Q8_0-00002-of-00002.gguf": b"GGUF" + b"9" * 9000,
    "sub/m-UD-Q2_K_XL.gguf": b"GGUF" + b"2" * 2000,
    "mmproj-F16.gguf": b"GGUF" + b"m" * 100,
}
NOWHERE = "http://127.0.0.1:9"


def find(
    name: str, root: Path, endpoint: str, report: Callable[[FetchProgress], None] = lambda progress: None
) -> LocatedModel:
    wanted = parse_name(name)
    assert wanted is not None
    return hub_models.find_or_fetch(
        wanted, folders_in(root), 1e9, report, lambda *_: None, refuse_excess, endpoint
    )


def content(path: str | Path) -> bytes:
    return Path(path).read_bytes()


def test_a_quantisation_is_downloaded_verified_and_found_again_without_a_network(tmp_path: Path) -> None:
    with hub_with(REPOSITORY, FILES) as (endpoint, asked):
        found = find("owner/repo:q4_k_m", tmp_path, endpoint)
        assert content(found.source) == FILES["m-Q4_K_M.gguf"]
        assert found.fingerprint == hashlib.sha256(FILES["m-Q4_K_M.gguf"]).hexdigest()
        assert not any("Q8_0" in each or "mmproj" in each for each in asked)
    assert find("hf.co/owner/repo:Q4_K_M", tmp_path, NOWHERE) == found
    assert find("owner/repo", tmp_path, NOWHERE) == LocatedModel(
        found.source, found.fingerprint, "Q4_K_M (0.0 GB) of owner/repo"
    )


def test_all_parts_are_downloaded_with_one_progress(tmp_path: Path) -> None:
    seen: list[FetchProgress] = []
    with hub_with(REPOSITORY, FILES) as (endpoint, _):
        found = find("owner/repo:Q8_0", tmp_path, endpoint, seen.append)
    path = Path(found.source)
    assert path.name == "m-Q8_0-00001-of-00002.gguf"
    assert content(path.with_name("m-Q8_0-00002-of-00002.gguf")) == FILES["m-Q8_0-00002-of-00002.gguf"]
    downloads = [each for each in seen if each.stage == "download"]
    assert {each.total for each in downloads} == {18008}
    assert [each.done for each in downloads] == sorted(each.done for each in downloads)
    assert downloads[-1].done == 18008
    assert "owner/repo:Q8_0, file 2 of 2: piece 1 of 1" in describe_progress(downloads[-1], 2.0)


def test_a_file_in_a_folder_of_the_repository_is_downloaded(tmp_path: Path) -> None:
    with hub_with(REPOSITORY, FILES) as (endpoint, _):
        found = find("owner/repo:Q2_K_XL", tmp_path, endpoint)
    assert content(found.source) == FILES["sub/m-UD-Q2_K_XL.gguf"]


def test_without_a_choice_the_recommended_one_is_downloaded_and_said(tmp_path: Path) -> None:
    with hub_with(REPOSITORY, FILES) as (endpoint, _):
        found = find(REPOSITORY, tmp_path, endpoint)
    assert Path(found.source).name == "m-Q4_K_M.gguf"
    assert "recommended for this machine; 2 others: UD-Q2_K_XL, Q8_0" in found.note


FOLDER = {
    "README.md": b"---\nlicense: mit\n---\n",
    "config.json": b"{}",
    "empty.txt": b"",
    "model-00001-of-00002.safetensors": b"1" * 9000,
    "model-00002-of-00002.safetensors": b"2" * 9000,
    "consolidated.safetensors": b"3" * 9000,
    "tokenizer.json": b'{"a": 1}',
    "onnx/model.json": b"{}",
    "photo.png": b"png",
    "m-Q4_K_M.gguf": FILES["m-Q4_K_M.gguf"],
}
WANTED = {name for name in FOLDER if not name.startswith(("consolidated", "onnx", "photo", "m-"))}


def test_a_repository_with_other_weights_is_downloaded_as_a_folder(tmp_path: Path) -> None:
    with hub_with(REPOSITORY, FOLDER) as (endpoint, _):
        found = find(REPOSITORY, tmp_path, endpoint)
    folder = Path(found.source)
    names = {each.name for each in folder.iterdir() if ".verified." not in each.name}
    assert names == WANTED | {hub_files.RECORD}
    assert all(content(folder / name) == FOLDER[name] for name in WANTED)
    shards = sorted(folder.glob("*.safetensors"))
    assert found.fingerprint == model_cache.hash_weights(shards, tmp_path / "converted", lambda *_: None)
    assert find(REPOSITORY, tmp_path, NOWHERE) == found
    stored = list(local_stores.list_hub(folders_in(tmp_path)))
    assert [(each.name, each.path) for each in stored] == [(REPOSITORY, folder)]
    (folder / "config.json").write_bytes(b"[]")
    with pytest.raises(ModelError, match="cannot reach"):
        find(REPOSITORY, tmp_path, NOWHERE)
    assert hub_models.remove(HubName(REPOSITORY, ""), folders_in(tmp_path)) > 0
    assert not folder.exists()


def test_of_a_repository_with_other_weights_a_gguf_can_be_chosen(tmp_path: Path) -> None:
    with hub_with(REPOSITORY, FOLDER) as (endpoint, _):
        found = find("owner/repo:Q4_K_M", tmp_path, endpoint)
    assert Path(found.source).name == "m-Q4_K_M.gguf"
    stored = list(local_stores.list_hub(folders_in(tmp_path)))
    assert [each.name for each in stored] == ["owner/repo:Q4_K_M"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"README.md": b"#", "data.csv": b"1"}, "owner/repo has no weights that mtchat reads"),
        ({"adapter_config.json": b"{}", "adapter_model.safetensors": b"1"}, "owner/repo is a LoRA adapter"),
    ],
)
def test_a_repository_without_a_model_says_so(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    with hub_with(REPOSITORY, files) as (endpoint, asked), pytest.raises(ModelError, match=said):
        find(REPOSITORY, tmp_path, endpoint)
    assert not any("resolve" in each for each in asked)


def test_a_folder_that_cannot_fit_is_refused_before_the_download(tmp_path: Path) -> None:
    files = [HubFile("model.safetensors", 16 * 10**9, ""), HubFile("config.json", 3, "")]
    said = hub_models.explain_folder_excess(REPOSITORY, files, 8e9, [tmp_path / "no driver"])
    assert "16.0 GB of weights, and this machine has 8.0 GB of memory; a GGUF" in said
    assert hub_models.explain_folder_excess(REPOSITORY, files, 8e9, [tmp_path]) == ""
    assert hub_models.explain_folder_excess(REPOSITORY, files, 17e9, [tmp_path / "no driver"]) == ""


def test_a_gguf_that_cannot_fit_is_refused_before_the_download_or_only_told_of(tmp_path: Path) -> None:
    told: list[str] = []
    with hub_with(REPOSITORY, FILES) as (endpoint, asked):
        for on_excess, raised in ((refuse_excess, True), (told.append, False)):
            with pytest.raises(ModelError, match="tries it all") if raised else nullcontext():
                hub_models.find_or_fetch(
                    *(HubName(REPOSITORY, "Q4_K_M"), folders_in(tmp_path), 3e3, lambda progress: None),
                    *(lambda *_: None, on_excess, endpoint),
                )
            assert any("resolve" in each for each in asked) is not raised
    assert told == [
        "owner/repo:Q4_K_M has 0.0 GB of weights, and this machine has 0.0 GB of memory; "
        "owner/repo:UD-Q2_K_XL (0.0 GB) would fit"
    ]


def test_a_small_file_that_is_not_the_listed_one_is_refused(tmp_path: Path) -> None:
    files = dict(FOLDER)
    with hub_with(REPOSITORY, files) as (endpoint, _):
        listed = hub_files.list_repository(REPOSITORY, endpoint)
        files["config.json"] = b"[]"
        wanted = [each for each in listed.files if each.path == "config.json"]
        with pytest.raises(ModelError, match=r"config\.json is not the file that the hub lists"):
            hub_files.fetch_files(listed, wanted, tmp_path, lambda progress: None, "it", endpoint)
    assert not list(tmp_path.rglob("config.json"))


def test_what_cannot_be_chosen_lists_what_can(tmp_path: Path) -> None:
    with (
        hub_with(REPOSITORY, FILES) as (endpoint, _),
        pytest.raises(
            ModelError, match="has no Q6_K; it has UD-Q2_K_XL, Q4_K_M, Q8_0: give one as owner/repo:NAME"
        ),
    ):
        find("owner/repo:Q6_K", tmp_path, endpoint)


def test_a_wrong_content_is_deleted(tmp_path: Path) -> None:
    good = dict(FILES)
    with hub_with(REPOSITORY, good) as (endpoint, _):
        listed = hub_files.list_repository(REPOSITORY, endpoint)
        good["m-Q4_K_M.gguf"] = b"GGUF" + b"5" * 5000
        file = next(each for each in listed.files if each.path == "m-Q4_K_M.gguf")
        with pytest.raises(ModelError, match="not the official file and was deleted"):
            hub_files.fetch_files(listed, [file], tmp_path, lambda progress: None, "it", endpoint)
    assert [each.name for each in tmp_path.rglob("*") if each.is_file()] == [hub_files.RECORD]


def test_a_changed_file_is_downloaded_again(tmp_path: Path) -> None:
    with hub_with(REPOSITORY, FILES) as (endpoint, _):
        found = find("owner/repo:Q4_K_M", tmp_path, endpoint)
        Path(found.source).write_bytes(b"GGUF damaged")
        assert find("owner/repo:Q4_K_M", tmp_path, endpoint) == found
    assert content(found.source) == FILES["m-Q4_K_M.gguf"]


class EnoughError(Exception):
    pass


@pytest.mark.slow
def test_a_stopped_download_goes_on_where_it_was(tmp_path: Path) -> None:
    large = {"m-Q4_K_M.gguf": b"GGUF" + bytes(CHUNK + 40_000_000)}

    def stop(progress: FetchProgress) -> None:
        if progress.piece == 2:  # one is complete
            raise EnoughError

    with (
        hub_with(REPOSITORY, large, slow_after=CHUNK + 1_000_000) as (endpoint, _),
        pytest.raises(EnoughError),
    ):
        find("owner/repo:Q4_K_M", tmp_path, endpoint, stop)
    seen: list[FetchProgress] = []
    with hub_with(REPOSITORY, large) as (endpoint, _):
        found = find("owner/repo:Q4_K_M", tmp_path, endpoint, seen.append)
    assert content(found.source) == large["m-Q4_K_M.gguf"]
    assert next(each for each in seen if each.stage == "download").kept >= 40_000_000


def answers(status: int, name: str, root: Path, **facts: object) -> str:
    with (
        hub_with(REPOSITORY, FILES, status=status, **facts) as (endpoint, _),
        pytest.raises(ModelError) as error,
    ):
        find(name, root, endpoint)
    return str(error.value)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "the model hub has no owner/repo, or it is private; check the name, or log in"),
        (401, "the model hub has no owner/repo, or it is private; check the name, or log in"),
        (403, "owner/repo is gated: accept its terms at https://huggingface.co/owner/repo, then log in"),
        (500, "the model hub answered 500 for owner/repo; try again later"),
        (429, "the model hub answered 429 for owner/repo; try again later"),
    ],
)
def test_refusals_of_the_hub_are_one_line(tmp_path: Path, status: int, said: str) -> None:
    found = answers(status, "owner/repo:Q4_K_M", tmp_path)
    assert said in found
    assert "\n" not in found


@pytest.mark.parametrize("denied", [401, 403])
def test_a_gated_file_says_how_to_get_access(tmp_path: Path, denied: int) -> None:
    found = answers(200, "owner/repo:Q4_K_M", tmp_path, denied=denied)
    assert found.startswith("owner/repo is gated: accept its terms")


def test_a_hub_that_is_not_reached_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot reach the model hub for owner/repo") as error:
        find("owner/repo:Q4_K_M", tmp_path, NOWHERE)
    assert "\n" not in str(error.value)


def test_a_name_that_the_hub_cannot_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'a\.\./b--c' is not a name on the model hub"):
        find("a../b--c:Q8_0", tmp_path, NOWHERE)


def test_a_full_disk_is_said_before_the_download(tmp_path: Path) -> None:
    with hub_with(REPOSITORY, FILES) as (endpoint, asked):
        listed = hub_files.list_repository(REPOSITORY, endpoint)
        with pytest.raises(ModelError, match=r"it needs 1 MiB in .* but only 1 MiB are free"):
            hub_files.fetch_files(
                *(
                    listed,
                    listed.files[1:2],
                    tmp_path,
                    lambda progress: None,
                    "it",
                    endpoint,
                    lambda folder: 4000,
                )
            )
    assert not any("resolve" in each for each in asked)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    assert "cannot write owner/repo:Q4_K_M to" in answers(200, "owner/repo:Q4_K_M", tmp_path)


def test_paths_that_leave_the_folder_are_ignored(tmp_path: Path) -> None:
    with hub_with(REPOSITORY, {"../../evil-Q4_K_M.gguf": b"GGUF", "/etc/x-Q8_0.gguf": b"GGUF"}) as (
        endpoint,
        _,
    ):
        assert hub_files.list_repository(REPOSITORY, endpoint).files == ()


def test_a_file_in_the_hubs_own_cache_is_used_where_it_is(tmp_path: Path) -> None:
    link = put_into_hub_cache(tmp_path, "m-Q4_K_M.gguf", FILES["m-Q4_K_M.gguf"])
    found = find("owner/repo:Q4_K_M", tmp_path, NOWHERE)
    assert found == LocatedModel(link, hashlib.sha256(FILES["m-Q4_K_M.gguf"]).hexdigest())
    with pytest.raises(ModelError, match="cannot reach"):
        find("owner/repo:Q8_0", tmp_path, NOWHERE)


def test_half_of_a_split_model_in_the_hubs_cache_is_not_taken_for_all(tmp_path: Path) -> None:
    put_into_hub_cache(tmp_path, "m-Q8_0-00001-of-00002.gguf", FILES["m-Q8_0-00001-of-00002.gguf"])
    with pytest.raises(ModelError, match="cannot reach"):
        find("owner/repo:Q8_0", tmp_path, NOWHERE)


def test_a_damaged_file_in_the_hubs_cache_is_refused(tmp_path: Path) -> None:
    put_into_hub_cache(tmp_path, "m-Q4_K_M.gguf", b"GGUF other", "0" * 64)
    with pytest.raises(ModelError, match="is damaged: its SHA-256 is not the hub's; delete"):
        find("owner/repo:Q4_K_M", tmp_path, NOWHERE)


def test_a_damaged_record_is_no_record(tmp_path: Path) -> None:
    folder = hub_files.repository_folder(REPOSITORY, tmp_path)
    folder.mkdir(parents=True)
    for text in ("[", "{}", '{"repository": 3, "files": [{"x": 1}]}'):
        (folder / hub_files.RECORD).write_text(text)
        assert hub_files.saved_list(REPOSITORY, tmp_path) is None
        assert list(hub_files.saved_repositories(tmp_path)) == []


def test_a_downloaded_model_is_removed_with_its_folder(tmp_path: Path) -> None:
    with hub_with(REPOSITORY, FILES) as (endpoint, _):
        find("owner/repo:Q4_K_M", tmp_path, endpoint)
    assert hub_models.remove(HubName(REPOSITORY, "Q4_K_M"), folders_in(tmp_path)) > 0
    assert list((tmp_path / "models" / "hub").iterdir()) == []
    with pytest.raises(ModelError, match="has downloaded nothing of owner/repo"):
        hub_models.remove(HubName(REPOSITORY, "Q4_K_M"), folders_in(tmp_path))


CHANGED = {"m-Q4_K_M.gguf": b"GGUF" + b"5" * 6000, "m-Q8_0.gguf": b"GGUF" + b"7" * 7000}


def test_a_file_of_an_earlier_revision_stays_known_beside_one_of_a_later(tmp_path: Path) -> None:
    with hub_with(REPOSITORY, FILES) as (endpoint, _):
        found = find("owner/repo:Q4_K_M", tmp_path, endpoint)
    with hub_with(REPOSITORY, CHANGED) as (endpoint, asked):
        later = find("owner/repo:Q8_0", tmp_path, endpoint)
        assert find("owner/repo:Q4_K_M", tmp_path, endpoint) == found
    assert not any("Q4_K_M" in each for each in asked)
    assert find("owner/repo:Q4_K_M", tmp_path, NOWHERE) == found
    assert find("owner/repo:Q8_0", tmp_path, NOWHERE) == later
    assert content(found.source) == FILES["m-Q4_K_M.gguf"]


def test_a_file_that_the_repository_no_longer_has_stays_known_until_it_is_removed(tmp_path: Path) -> None:
    with hub_with(REPOSITORY, FILES) as (endpoint, _):
        found = find("owner/repo:UD-Q2_K_XL", tmp_path, endpoint)
    with hub_with(REPOSITORY, CHANGED) as (endpoint, _):
        find("owner/repo:Q8_0", tmp_path, endpoint)
    assert find("owner/repo:UD-Q2_K_XL", tmp_path, NOWHERE) == found
    assert hub_models.remove(HubName(REPOSITORY, "UD-Q2_K_XL"), folders_in(tmp_path)) > 0
    assert not Path(found.source).exists()


SHARDED = {
    "config.json": b"[1]",
    "old.json": b"{}",
    "model.safetensors.index.json": b'{"weight_map": {"a": "model-00001-of-00002.safetensors",'
    b' "b": "model-00002-of-00002.safetensors"}}',
    "model-00001-of-00002.safetensors": b"1" * 9000,
    "model-00002-of-00002.safetensors": b"2" * 9000,
}
SINGLE = {"config.json": b"[2]", "model.safetensors": b"3" * 9000, "m-Q4_K_M.gguf": FILES["m-Q4_K_M.gguf"]}


def test_a_later_revision_of_a_folder_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    with hub_with(REPOSITORY, SHARDED) as (endpoint, _):
        folder = Path(find(REPOSITORY, tmp_path, endpoint).source)
    (folder / "model-00002-of-00002.safetensors").unlink()  # as where it was stopped
    with hub_with(REPOSITORY, SINGLE) as (endpoint, _):
        found = find(REPOSITORY, tmp_path, endpoint)
    names = {each.name for each in folder.iterdir() if ".verified." not in each.name}
    assert names == {"config.json", "model.safetensors", hub_files.RECORD}
    assert found.fingerprint == hashlib.sha256(SINGLE["model.safetensors"]).hexdigest()
    assert find(REPOSITORY, tmp_path, NOWHERE) == found


def test_a_gguf_of_a_later_revision_leaves_an_earlier_folder_as_it_is(tmp_path: Path) -> None:
    with hub_with(REPOSITORY, SHARDED) as (endpoint, _):
        found = find(REPOSITORY, tmp_path, endpoint)
    with hub_with(REPOSITORY, SINGLE) as (endpoint, _):
        chosen = find("owner/repo:Q4_K_M", tmp_path, endpoint)
    assert find(REPOSITORY, tmp_path, NOWHERE) == found
    assert find("owner/repo:Q4_K_M", tmp_path, NOWHERE) == chosen


def test_what_is_not_downloaded_is_not_removed(tmp_path: Path) -> None:
    with hub_with(REPOSITORY, FILES) as (endpoint, _):
        found = find("owner/repo:Q4_K_M", tmp_path, endpoint)
    for choice in ("Q2_K_XL", "Q8_0"):
        with pytest.raises(ModelError, match=f"^owner/repo:{choice} is not downloaded; mtchat models lists"):
            hub_models.remove(HubName(REPOSITORY, choice), folders_in(tmp_path))
    assert Path(found.source).exists()


def test_names_that_mtchat_keeps_for_itself_are_no_files_of_a_repository(tmp_path: Path) -> None:
    files = {
        "config.json": b"{}",
        "model.safetensors": b"1" * 900,
        "model.safetensors.part.json": b'{"sha256": "%s"}' % hashlib.sha256(b"1" * 900).hexdigest().encode(),
        "model.safetensors.verified.json": b"{}",
        hub_files.RECORD: b"{}",
    }
    with hub_with(REPOSITORY, files) as (endpoint, _):
        listed = hub_files.list_repository(REPOSITORY, endpoint)
        assert [each.path for each in listed.files] == ["config.json", "model.safetensors"]
        found = find(REPOSITORY, tmp_path, endpoint)
    assert find(REPOSITORY, tmp_path, NOWHERE) == found


def test_a_similar_file_in_the_hubs_own_cache_is_not_taken_for_the_one_named(tmp_path: Path) -> None:
    put_into_hub_cache(tmp_path, "sub/m-UD-Q2_K_XL.gguf", FILES["sub/m-UD-Q2_K_XL.gguf"])
    plain = {"m-Q2_K_XL.gguf": b"GGUF" + b"p" * 3000, **FILES}
    with pytest.raises(ModelError, match="cannot reach"):
        find("owner/repo:Q2_K_XL", tmp_path, NOWHERE)
    with hub_with(REPOSITORY, plain) as (endpoint, _):
        assert content(find("owner/repo:Q2_K_XL", tmp_path, endpoint).source) == plain["m-Q2_K_XL.gguf"]
    for named in ("UD-Q2_K_XL", "m-ud-q2_k_xl.gguf"):
        found = find(f"owner/repo:{named}", tmp_path, NOWHERE)
        assert content(found.source) == FILES["sub/m-UD-Q2_K_XL.gguf"]


def test_a_record_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    (hub_files.repository_folder(REPOSITORY, tmp_path) / hub_files.RECORD).mkdir(parents=True)
    assert list(hub_files.saved_repositories(tmp_path)) == []


def test_a_hub_that_never_answers_is_given_up() -> None:
    with silent_port() as endpoint, pytest.raises(ModelError, match="cannot reach the model hub"):
        hub_files.list_repository(REPOSITORY, endpoint, 0.3)


def test_a_folder_with_one_gguf_is_that_file(tmp_path: Path) -> None:
    for name in ("m-Q4_K_M.gguf", "mmproj-F16.gguf", "README.md"):
        (tmp_path / name).write_bytes(b"GGUF")
    assert find_in_folder(tmp_path) == tmp_path / "m-Q4_K_M.gguf"


def test_a_folder_with_the_parts_of_one_model_is_its_first_part(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"m-0000{number}-of-00003.gguf").write_bytes(b"GGUF")
    assert find_in_folder(tmp_path) == tmp_path / "m-00001-of-00003.gguf"


def test_a_folder_with_several_ggufs_lists_what_to_type(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    said = f"2 GGUF models; give one of them: --model {tmp_path / 'a.gguf'}, --model {tmp_path / 'b.gguf'}"
    with pytest.raises(ModelError, match=said):
        find_in_folder(tmp_path)


def test_an_image_encoder_alone_keeps_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "mmproj-F16.gguf").write_bytes(b"GGUF")
    assert find_in_folder(tmp_path) == tmp_path / "mmproj-F16.gguf"


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_with_other_weights_stays_a_folder(tmp_path: Path, weights: str) -> None:
    for name in ("a.gguf", weights):
        (tmp_path / name).write_bytes(b"GGUF")
    assert find_in_folder(tmp_path) == tmp_path
