"""Sessions on disk: `sessions/<name>.jsonl`, one event a line, append-only, fsynced, locked while open."""

from mtchat.store.listing import Summary, check_name, find, folder, fresh, path_of, summaries
from mtchat.store.log import Log
from mtchat.store.reading import Reading, load, read

__all__ = [
    "Log",
    "Reading",
    "Summary",
    "check_name",
    "find",
    "folder",
    "fresh",
    "load",
    "path_of",
    "read",
    "summaries",
]
