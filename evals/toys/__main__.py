"""Trains toys, writes them as GGUF files and records llama.cpp's texts: `python -m evals.toys FOLDER`."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from evals.toys import changes, gguf_file, recording, training
from evals.toys.table import TOYS
from evals.toys.texts import build_vocabulary

TEXTS, CHANGES = "texts.json", "changes.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evals.toys", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the files go, and texts.json")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(TOYS)}; by default all")
    parser.add_argument("--record", action="store_true", help="train nothing, only record again")
    parser.add_argument("--changes", action="store_true", help="only record what changed copies compute")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name in options.names or TOYS:
        path = options.folder / f"{name}.gguf"
        if options.changes:
            record_changes(name, path, options.folder)
            continue
        if not options.record:
            make_toy(name, path)
        record_toy(name, path, options.folder / TEXTS)


def make_toy(name: str, path: Path) -> None:
    toy, began = TOYS[name], time.perf_counter()

    def report(said: str) -> None:
        print(f"{name}: {said}", flush=True)

    vocabulary = build_vocabulary(toy.format)
    model = training.build_model(toy, vocabulary)
    lessons = vocabulary.lessons()
    training.train(model, lessons, toy.steps, toy.rate, report)
    if toy.experts:
        training.round_weights(model, "", toy.experts)
        training.train(model, lessons, toy.steps, toy.rate, report)
    training.round_weights(model, toy.matrices, toy.experts)
    gguf_file.write_toy(path, name, toy, model, vocabulary)
    report(f"{path.stat().st_size / 1000:.0f} kB in {time.perf_counter() - began:.0f} s")
    server = recording.start_server(path, toy.context)
    for place in recording.places(server, lessons):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([place["prompt"]])).logits[0, -1]
        found = torch.log_softmax(logits, -1).tolist()
        off = max(abs(found[int(id)] - value) for id, value in place["likeliest"].items())
        report(f"log-probabilities of llama.cpp and transformers differ by up to {off:.3f}")


def record_toy(name: str, path: Path, file: Path) -> None:
    """Put what llama.cpp writes into `file`; ValueError unless it is what the toy has learned."""
    put(file, name, recording.record(path, TOYS[name]))


def record_changes(name: str, path: Path, folder: Path) -> None:
    places = read(folder / TEXTS)[name]["places"]
    put(folder / CHANGES, name, changes.record_changes(path, places, TOYS[name].context))


def read(file: Path) -> dict[str, Any]:
    known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return known


def put(file: Path, name: str, value: Any) -> None:
    known = read(file) | {name: value}
    kept = {each: known[each] for each in TOYS if each in known}
    file.write_text(recording.as_json(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
