"""mtchat models: the table, its JSON, and getting a model from a hub that answers, stalls or is absent."""

import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mtchat.bundled_models import catalogue
from mtchat.cli import model_table
from mtchat.cli.models import bytes_on_disk, describe_stored
from mtchat.console.view import View
from mtchat.errors import ExitCode
from mtchat.inference.llama_cpp import library
from mtchat.models.local_stores import StoredModel
from mtchat.models.survey import Survey
from mtchat.store import load
from tests import CASES, ROOT
from tests.support.engine_models import STARTER_SMALL, random_model, tiny_tokenizer
from tests.support.gguf_models import split_gguf, write_shape
from tests.support.known_models import survey_of
from tests.support.local_hub import hub_of, hub_with, silent_port
from tests.support.terminal import CTRL_C, CTRL_D, ENTER, terminal

GOLDEN = CASES / "models"


def shown(survey: Survey) -> str:
    out = io.StringIO()
    model_table.show(survey, View(out, live=False, color=False))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "survey"),
    [
        ("usual", survey_of()),
        ("nothing_installed", survey_of(speed=None, installed=())),
        ("small_and_busy", survey_of(free=3.6, speed=9.5, busy=True)),
        ("gpu", survey_of(free=300.0, speed=70.0, gpus=("NVIDIA H200",))),
    ],
)
def test_the_table_is_as_recorded(name: str, survey: Survey, request: pytest.FixtureRequest) -> None:
    path = GOLDEN / f"{name}.txt"
    if request.config.getoption("--accept"):
        path.write_text(shown(survey), encoding="utf-8")
    assert shown(survey) == path.read_text(encoding="utf-8")


def test_no_line_of_the_table_is_wider_than_100_columns() -> None:
    assert max(map(len, model_table.table_lines(survey_of(free=2.0)))) <= 100


def test_the_json_has_what_the_table_has() -> None:
    survey = survey_of()
    found = json.loads(json.dumps(model_table.to_json(survey)))
    assert found["recommended"] == "starter"
    assert found["machine"]["measured_speed"] == {
        "model": "starter",
        "tokens_per_second": 22.4,
        "date": "2026-11-30",
        "busy": False,
    }
    seven = next(each for each in found["models"] if each["name"] == "qwen2.5-coder-7b")
    assert seven["state"] == "not downloaded"
    assert seven["estimated"] is True
    assert seven["published"] == {"humaneval": 88.4, "mbpp": 83.5}
    assert seven["measured"] == {}
    memory = seven["memory"]
    assert memory["total"] == sum(memory[part] for part in ("weights", "cache", "draft", "other"))


def test_what_is_on_disk_is_counted_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"x" * 100_000)
    assert 100_000 <= bytes_on_disk(tmp_path) < 200_000
    assert bytes_on_disk(tmp_path / "none") == 0


@pytest.mark.parametrize("missing", ["", "llama.cpp is not installed (pip install it)"])
def test_a_model_for_llama_cpp_says_where_that_is_missing(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "missing_reason", lambda: missing)
    path = write_shape(tmp_path / "m.gguf", "novel", {"token_embd.weight": (100, 64)})
    stored = StoredModel("lmstudio:a/b", "LM Studio", path, 10**9)
    said = describe_stored(stored, survey_of().machine)
    assert said.startswith(f"1.0 GB, LM Studio; {missing or 'needs 0.'}")


def environment(cache: Path, endpoint: str) -> dict[str, str]:
    """An environment with a cache of its own, in which the hub is at `endpoint`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return kept | {"XDG_CACHE_HOME": str(cache), "HF_ENDPOINT": endpoint, "no_proxy": "127.0.0.1"}


def mtchat(cache: Path, endpoint: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mtchat", *words],
        cwd=ROOT,
        env=environment(cache, endpoint),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.slow
def test_the_list_of_an_empty_cache_downloads_and_measures_nothing(tmp_path: Path) -> None:
    ended = mtchat(tmp_path, "http://127.0.0.1:9", "models", "--json")
    assert ended.returncode == ExitCode.DONE
    found = json.loads(ended.stdout)
    assert {each["state"] for each in found["models"]} == {"not downloaded"}
    assert found["machine"]["measured_speed"] is None
    assert not (tmp_path / "mtchat").exists()


@pytest.mark.slow
def test_without_a_hub_the_error_says_how_to_get_the_file_otherwise(tmp_path: Path) -> None:
    began = time.monotonic()
    ended = mtchat(tmp_path, "http://127.0.0.1:9", "models", "get", "qwen2.5-coder-7b")
    assert time.monotonic() - began < 30
    assert ended.returncode == ExitCode.MODEL
    assert "hub: [Errno 111] Connection refused" in ended.stderr
    assert "0 of 70 pieces are kept" in ended.stderr
    assert "Qwen2.5-Coder-7B-Instruct-GGUF/resolve/13fb94bfda8c8cf22497dc57b78f391a9acb426a/" in ended.stderr
    assert str(tmp_path / "mtchat" / "models" / "qwen2.5-coder-7b-instruct-q4_k_m.gguf") in ended.stderr
    assert list((tmp_path / "mtchat" / "models").iterdir()) == []


@pytest.mark.slow
def test_a_hub_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with silent_port() as endpoint:
        began = time.monotonic()
        ended = mtchat(tmp_path, endpoint, "models", "get", "qwen2.5-coder-14b")
    assert ended.returncode == ExitCode.MODEL
    assert "hub: no answer in 5 s" in ended.stderr
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_a_model_that_is_only_known_is_not_downloaded_by_using_it(tmp_path: Path) -> None:
    ended = mtchat(tmp_path, "http://127.0.0.1:9", "--model", "qwen2.5-coder-7b", "-p", "print 1")
    assert ended.returncode == ExitCode.MODEL
    assert "qwen2.5-coder-7b is not downloaded (4.7 GB); mtchat models get qwen2.5-coder-7b" in ended.stderr


@pytest.mark.slow
def test_the_licence_for_research_is_announced_before_the_download(tmp_path: Path) -> None:
    ended = mtchat(tmp_path, "http://127.0.0.1:9", "models", "get", "qwen2.5-coder-3b")
    assert "qwen-research, allows no commercial use" in ended.stderr


@pytest.mark.terminal
def test_an_interrupted_download_says_how_it_goes_on(tmp_path: Path) -> None:
    """The hub delivers the first piece of 64 MiB of zeros, and the rest slowly."""
    with hub_of("Qwen/Qwen2.5-Coder-3B-Instruct-GGUF", 2104932800, slow_after=64 << 20) as endpoint:
        words = ["-m", "mtchat", "models", "get", "qwen2.5-coder-3b"]
        with terminal(words, ROOT, environment(tmp_path, endpoint)) as screen:
            screen.wait("piece 2 of 32")
            assert "░" in screen.text
            screen.send(CTRL_C)
            assert screen.ended() == ExitCode.INTERRUPTED
            text = screen.text
        assert "1 of 32 pieces are kept; mtchat models get qwen2.5-coder-3b downloads the others" in text
        assert "mtchat: interrupted" in text
        assert "░" not in text
    ended = mtchat(tmp_path, "http://127.0.0.1:9", "models", "--json")
    assert ended.returncode == ExitCode.DONE, ended.stderr
    rows = {each["name"]: each for each in json.loads(ended.stdout)["models"]}
    assert rows["qwen2.5-coder-3b"]["state"] == "partial"
    ended = mtchat(tmp_path, "http://127.0.0.1:9", "models", "remove", "qwen2.5-coder-3b")
    assert re.fullmatch(r"removed qwen2.5-coder-3b: \d+ MiB freed\n", ended.stdout)
    assert list((tmp_path / "mtchat" / "models").iterdir()) == []


@pytest.mark.model
@pytest.mark.skipif(not STARTER_SMALL.exists(), reason=f"starter-small is not at {STARTER_SMALL}")
def test_a_model_that_the_hub_delivers_is_verified_and_works_by_its_name(tmp_path: Path) -> None:
    """The real file of starter-small, from a hub on this machine: get, list, use, remove."""
    model = catalogue.find("starter-small")
    content = STARTER_SMALL.read_bytes()
    with hub_of(model.hub.repository, model.bytes, content) as endpoint:
        words = ["-m", "mtchat", "models", "get", "starter-small"]
        with terminal(words, ROOT, environment(tmp_path, endpoint)) as screen:
            screen.wait("MiB/s")
            assert screen.ended() == ExitCode.DONE
            text = " ".join(screen.text.split())
    assert f"verified: {model.bytes:,} bytes, SHA-256" in text
    assert f"at revision {model.hub.revision}" in text
    nowhere = "http://127.0.0.1:9"
    rows = json.loads(mtchat(tmp_path, nowhere, "models", "--json").stdout)["models"]
    assert [each["name"] for each in rows if each["state"] == "downloaded"] == ["starter-small"]
    words = ["--model", "starter-small", "--sessions", str(tmp_path / "s"), "-p", "print the number 7"]
    ended = mtchat(tmp_path, nowhere, *words)
    assert ended.returncode == ExitCode.DONE, ended.stderr
    assert "7" in ended.stdout
    found = json.loads(mtchat(tmp_path, nowhere, "models", "--json").stdout)
    assert found["machine"]["measured_speed"]["model"] == "starter-small"
    removed = mtchat(tmp_path, nowhere, "models", "remove", "starter-small").stdout
    assert removed.startswith("removed starter-small and its converted copy: ")
    assert not STARTER_SMALL.with_suffix(".part").exists()
    assert list((tmp_path / "mtchat" / "models").iterdir()) == []


@pytest.mark.model
@pytest.mark.terminal
@pytest.mark.skipif(not STARTER_SMALL.exists(), reason=f"starter-small is not at {STARTER_SMALL}")
def test_switching_to_a_model_that_is_not_here_says_how_to_get_it_and_keeps_the_other(tmp_path: Path) -> None:
    words = ["-m", "mtchat", "--model", "starter-small", "--sessions", str(tmp_path)]
    with terminal(words, ROOT, {"HF_ENDPOINT": "http://127.0.0.1:9"}) as screen:
        screen.wait("starter-small")
        screen.send("/model qwen2.5-coder-7b" + ENTER)
        screen.wait("is loading in the background")
        screen.send("print the number 7" + ENTER)
        screen.wait("mtchat models get qwen2.5-coder-7b")
        screen.send("/quit" + ENTER)
        screen.ended()


HUB_FILES = {"m-Q4_K_M.gguf": b"GGUF" + bytes(3_000_000), "m-Q8_0.gguf": b"GGUF" + bytes(5_000_000)}


@pytest.mark.slow
def test_a_model_of_the_hub_is_downloaded_listed_and_removed_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "mtchat" / "models" / "hub" / "owner--repo" / "m-Q4_K_M.gguf"
    with hub_with("owner/repo", HUB_FILES) as (endpoint, _):
        ended = mtchat(tmp_path, endpoint, "models", "get", "owner/repo")
    assert ended.returncode == ExitCode.DONE, ended.stderr
    assert "owner/repo:Q4_K_M: piece 1 of 1, 2 of 3 MiB" in ended.stderr
    assert "Q4_K_M (0.0 GB) of owner/repo, recommended for this machine; 1 other: Q8_0" in ended.stdout
    assert f"owner/repo: {file}" in ended.stdout
    offline = "http://127.0.0.1:9"
    again = mtchat(tmp_path, offline, "models", "get", "hf.co/owner/repo:q4_k_m")
    assert again.stdout == f"hf.co/owner/repo:q4_k_m: {file}\n"
    table = mtchat(tmp_path, offline, "models").stdout
    assert "  owner/repo:Q4_K_M  0.0 GB, downloaded; not usable: " in table
    stored = json.loads(mtchat(tmp_path, offline, "models", "--json").stdout)["stored"]
    assert [(each["name"], each["path"]) for each in stored] == [("owner/repo:Q4_K_M", str(file))]
    assert "3 MiB freed" in mtchat(tmp_path, offline, "models", "remove", "owner/repo:Q4_K_M").stdout
    assert not file.exists()
    failed = mtchat(tmp_path, offline, "models", "get", "owner/repo:Q4_K_M")
    assert failed.returncode == ExitCode.MODEL
    assert failed.stderr.startswith("mtchat: cannot reach the model hub for owner/repo")
    assert len(failed.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_model_in_a_store_is_listed_with_what_it_needs(tmp_path: Path) -> None:
    if not STARTER_SMALL.exists():
        pytest.skip("starter-small is not downloaded")
    folder = tmp_path / "lm" / "models" / "qwen" / "coder"
    folder.mkdir(parents=True)
    (folder / "coder-Q4_K_M.gguf").symlink_to(STARTER_SMALL)
    (tmp_path / ".lmstudio-home-pointer").write_text(str(tmp_path / "lm"))
    ended = subprocess.run(
        [sys.executable, "-m", "mtchat", "models"],
        cwd=ROOT,
        env=environment(tmp_path / "cache", "http://127.0.0.1:9") | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert re.search(r"  lmstudio:qwen/coder  0\.5 GB, LM Studio; needs 0\.[89] GiB\n", ended.stdout), (
        ended.stdout
    )


@pytest.mark.slow
def test_what_cannot_be_read_is_in_the_json_and_no_traceback(tmp_path: Path) -> None:
    manifest = tmp_path / ".ollama" / "models" / "manifests" / "registry.ollama.ai" / "library" / "m" / "1b"
    record = tmp_path / "cache" / "mtchat" / "models" / "hub" / "owner--repo" / ".mtchat-files"
    record.mkdir(parents=True)  # a folder in its place cannot be read, whoever the user is
    manifest.parent.mkdir(parents=True)
    manifest.write_text("[")
    ended = subprocess.run(
        [sys.executable, "-m", "mtchat", "models", "--json"],
        cwd=ROOT,
        env=environment(tmp_path / "cache", "http://127.0.0.1:9") | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == ExitCode.DONE, ended.stderr
    (line,) = json.loads(ended.stdout)["broken"]
    assert line.startswith(f"{manifest} is not a manifest that can be read")


@pytest.mark.slow
def test_a_folder_of_the_hub_is_downloaded_and_used_offline(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    random_model("qwen2", len(tokenizer), max_position_embeddings=4000).save_pretrained(tmp_path / "it")
    tokenizer.save_pretrained(tmp_path / "it")
    files = {each.name: each.read_bytes() for each in (tmp_path / "it").iterdir()}
    with hub_with("owner/repo", files) as (endpoint, _):
        ended = mtchat(tmp_path, endpoint, "models", "get", "owner/repo")
    folder = tmp_path / "mtchat" / "models" / "hub" / "owner--repo"
    assert ended.stdout == f"owner/repo: {folder}\n", ended.stderr
    offline = "http://127.0.0.1:9"
    assert "  owner/repo  0.0 GB, downloaded\n" in mtchat(tmp_path, offline, "models").stdout
    options = ("--model", "owner/repo", "--sessions", str(tmp_path / "s"), "--max-tokens", "4")
    used = mtchat(tmp_path, offline, *options, "-p", "print 7")
    assert "written in" in used.stderr, used.stderr


@pytest.mark.terminal
def test_an_interrupted_download_from_the_hub_goes_on(tmp_path: Path) -> None:
    files = {"m-Q4_K_M.gguf": b"GGUF" + bytes(80 << 20)}
    with hub_with("owner/repo", files, slow_after=64 << 20) as (endpoint, _):
        words = ["-m", "mtchat", "models", "get", "owner/repo:Q4_K_M"]
        with terminal(words, ROOT, environment(tmp_path, endpoint)) as screen:
            screen.wait("owner/repo:Q4_K_M: piece 2 of 2")
            assert "░" in screen.text
            screen.send(CTRL_C)
            assert screen.ended() == ExitCode.INTERRUPTED
            text = screen.text
        assert "stopped; mtchat models get owner/repo:Q4_K_M goes on where it was" in text
        assert "░" not in text
    with hub_with("owner/repo", files) as (endpoint, _):
        ended = mtchat(tmp_path, endpoint, "models", "get", "owner/repo:Q4_K_M")
    assert ended.returncode == ExitCode.DONE, ended.stderr
    assert "owner/repo:Q4_K_M: verifying, 64 of 81 MiB" in ended.stderr  # the piece that was kept
    file = tmp_path / "mtchat" / "models" / "hub" / "owner--repo" / "m-Q4_K_M.gguf"
    assert ended.stdout.splitlines()[-1] == f"owner/repo:Q4_K_M: {file}"


def put_into_ollama(home: Path, file: Path) -> None:
    digest = catalogue.find("starter-small").sha256
    store = home / ".ollama" / "models"
    manifest = store / "manifests" / "registry.ollama.ai" / "library" / "coder" / "0.5b"
    for folder in (store / "blobs", manifest.parent):
        folder.mkdir(parents=True)
    (store / "blobs" / f"sha256-{digest}").symlink_to(file)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}", "size": 1}
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": [layer]}))


@pytest.mark.model
@pytest.mark.terminal
@pytest.mark.skipif(not STARTER_SMALL.exists(), reason=f"starter-small is not at {STARTER_SMALL}")
def test_a_conversation_with_a_split_model_of_the_hub_and_with_one_of_ollama(tmp_path: Path) -> None:
    parts = split_gguf(STARTER_SMALL, tmp_path / "coder-Q4_K_M", 100)
    files = {each.name: each.read_bytes() for each in parts}
    home = {"HOME": str(tmp_path)}
    put_into_ollama(tmp_path, STARTER_SMALL)
    options = ["--sessions", str(tmp_path / "s")]
    with hub_with("owner/repo", files) as (endpoint, _):
        words = ["-m", "mtchat", "--model", "owner/repo", *options]
        with terminal(words, ROOT, environment(tmp_path, endpoint) | home) as screen:
            screen.wait("owner/repo")
            screen.send("print the number 7" + ENTER)
            screen.wait("2› ", 120)
            assert "Q4_K_M (0.5 GB, 3 parts) of owner/repo" in " ".join(screen.text.split())
            screen.send("/model ollama:coder:0.5b" + ENTER)
            screen.wait("is loading in the background")
            screen.send("print the number 8" + ENTER)
            screen.wait("3› ", 120)
            screen.send(CTRL_D)
            assert screen.ended() == ExitCode.DONE
    turns = load(next((tmp_path / "s").glob("*.jsonl"))).path
    assert ["7" in turns[0].code, "8" in turns[1].code] == [True, True]
    near = subprocess.run(
        [sys.executable, "-m", "mtchat", "--model", "coder:0.5b", "-p", "x", *options],
        cwd=ROOT,
        env=environment(tmp_path, "http://127.0.0.1:9") | home,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert near.stderr == "mtchat: no model 'coder:0.5b': did you mean ollama:coder:0.5b?\n"
