"""The session of a conversation, and the file in which each change is saved."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mtchat.errors import MtchatError
from mtchat.generate.events import EventHandler, Notice, ignore
from mtchat.session import language
from mtchat.session.session import Session
from mtchat.session.settings import Settings
from mtchat.store import SUFFIX, Log, OwnedFiles, attached_below, files_of, folder, path_of, recheck_files


class SavedSession:
    """A session that grows. `session` is replaced, never changed; `keep` makes another one live and saves it.

    Without a `log` it lives in memory. `unsaved` is the reason why turns are in memory alone, and `notices`
    what opening the file has turned up; `on_event` hears of what happens.
    """

    def __init__(
        self,
        log: Log | None = None,
        settings: Settings | None = None,
        on_event: EventHandler = ignore,
        owned: OwnedFiles | None = None,
    ) -> None:
        self.log, self.settings, self.on_event = log, settings or Settings(), on_event
        self.owned = owned or OwnedFiles()
        self.unsaved = ""
        self.notices: tuple[str, ...] = ()
        self._replaced: Session | None = None
        self.session = Session(language=language.parse_language(self.settings.language))
        self.load()

    def load(self) -> None:
        """Makes what the file holds the live session, in its own language."""
        if log := self.log:
            self.session, notices = recheck_files(log.session, lambda file: self.owned.has(log.path, file))
            self.notices = (*log.notices, *notices)
        self.settings = replace(self.settings, language=self.session.language.name)

    def reopen(self, log: Log) -> None:
        """Continues with another file; an error if turns of this session would be lost."""
        if self.unsaved:
            log.close()
            raise MtchatError(
                f"{self.session.name} has turns that are not saved; /save tries again, "
                "and /save with a full path, such as /tmp/mine, saves it there"
            )
        self.release()
        self.log = log
        self.load()

    def release(self) -> None:
        """Releases the session's file, so that another process may open it."""
        if self.log is not None:
            self.log.close()

    def set_language(self, name: str) -> None:
        """Sets the language of the session; an error if it has turns in another."""
        session = self.session.with_language(language.parse_language(name))
        self.settings = replace(self.settings, language=session.language.name)
        if session != self.session:
            self.keep(session, "language")

    def remember_attached(self, files: Sequence[Path]) -> None:
        """Remembers that the user attached these files to this session."""
        if self.log is not None:
            self.owned.add(self.log.path, attached_below(self.session, files))

    def keep(self, session: Session, why: str = "") -> None:
        """Makes a session the live one and saves what is new in it; it is live even if saving fails."""
        self.session = session
        if self.log is None:
            return
        known = len(self.log.notices)
        try:
            self.log.write(session, why)
            self.unsaved = ""
        except MtchatError as error:
            self.unsaved = str(error)
            self.notify(self.unsaved, "error")
        for notice in self.log.notices[known:]:
            self.notify(notice)
        self.session = session.with_values(name=self.log.name)

    @contextmanager
    def beside(self, live: Session) -> Iterator[None]:
        """Meanwhile what is made is kept beside a session that stays live."""
        self._replaced = live
        try:
            yield
        finally:
            self._replaced = None

    def save_turn(self, made: Session, aside: bool = False) -> None:
        """Has a new turn on disk before it is run; `aside` says that it may not become the live one."""
        live = self._replaced or (self.session if aside else None)
        self.keep(live.with_alternatives(made) if live else made, "turn")

    @property
    def files_folder(self) -> Path | None:
        """The folder for the files that runs leave, beside the session's file."""
        return files_of(self.log.path) if self.log else None

    def notify(self, text: str, level: str = "note") -> None:
        if text:
            self.on_event(Notice(text, level))


def open_log(store: str | Path) -> Log:
    """The file of a session by its name or a path, created if need be; it is locked until it is closed."""
    path = Path(store)
    return Log.open(path if path.suffix == SUFFIX else path_of(str(store), folder()))
