"""Sessions on disk: `sessions/<name>.jsonl`, one event a line, append-only, fsynced, locked while open."""

from mtchat.store.attached import attach, attached_below, detach, present_files, recheck_files
from mtchat.store.file_description import describe_files
from mtchat.store.listing import (
    SUFFIX,
    Summary,
    check_name,
    files_of,
    find,
    folder,
    new_name,
    path_of,
    paths,
    recorded_folder,
    summaries,
    summary,
)
from mtchat.store.log import Log
from mtchat.store.machine import LatestSessions, OwnedFiles
from mtchat.store.reading import LogContents, load, read

__all__ = [
    "SUFFIX",
    "LatestSessions",
    "Log",
    "LogContents",
    "OwnedFiles",
    "Summary",
    "attach",
    "attached_below",
    "check_name",
    "describe_files",
    "detach",
    "files_of",
    "find",
    "folder",
    "load",
    "new_name",
    "path_of",
    "paths",
    "present_files",
    "read",
    "recheck_files",
    "recorded_folder",
    "summaries",
    "summary",
]
