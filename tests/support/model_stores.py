"""Folders of models as mtchat and the hub's own library leave them."""

import hashlib
import json
from pathlib import Path
from typing import Any

from mtchat.models.hub_models import ModelFolders
from tests.support.local_hub import REVISION


def folders_in(root: Path, **environment: str) -> ModelFolders:
    return ModelFolders(root / "models", root / "converted", root / "hub", root / "home", environment)


def put_into_hub_cache(root: Path, name: str, content: bytes, digest: str = "") -> Path:
    """A file of owner/repo in the cache of the hub's own library, by its SHA-256."""
    folder = root / "hub" / "models--owner--repo"
    blob = folder / "blobs" / (digest or hashlib.sha256(content).hexdigest())
    link = folder / "snapshots" / REVISION / name
    for each in (blob, link, folder / "refs" / "main"):
        each.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    link.symlink_to(blob)
    (folder / "refs" / "main").write_text(REVISION)
    return link


def put_blob(store: Path, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    blob = store / "blobs" / f"sha256-{digest}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def put_ollama(store: Path, manifest: str, layers: dict[str, bytes]) -> Path:
    """A model as `ollama pull` leaves it: a manifest, and a blob for each layer."""
    kinds = [
        {"mediaType": f"application/vnd.ollama.image.{kind}", **put_blob(store, content)}
        for kind, content in layers.items()
    ]
    path = store / "manifests" / manifest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schemaVersion": 2, "config": {}, "layers": kinds}))
    return path
