"""Sessions on disk: `sessions/<name>.jsonl`, one event a line, append-only, fsynced, locked while open."""

from mtchat.store.attaching import attach, below, checked, detach, present
from mtchat.store.glance import glance
from mtchat.store.latest import Latest
from mtchat.store.listing import (
    SUFFIX,
    Summary,
    check_name,
    files_of,
    find,
    folder,
    fresh,
    path_of,
    paths,
    recorded_folder,
    summaries,
    summary,
)
from mtchat.store.log import Log
from mtchat.store.owned import Owned
from mtchat.store.reading import Reading, load, read

__all__ = [
    "SUFFIX",
    "Latest",
    "Log",
    "Owned",
    "Reading",
    "Summary",
    "attach",
    "below",
    "check_name",
    "checked",
    "detach",
    "files_of",
    "find",
    "folder",
    "fresh",
    "glance",
    "load",
    "path_of",
    "paths",
    "present",
    "read",
    "recorded_folder",
    "summaries",
    "summary",
]
