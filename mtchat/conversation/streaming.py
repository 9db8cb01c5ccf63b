"""Gives the events of something that a conversation does while it is done, in a thread of its own."""

import ctypes
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Event as ThreadEvent
from threading import Thread

from mtchat.conversation.live import LiveSession
from mtchat.generate.events import Event

GRACE_SECONDS = 0.2  # in which a thread stops by itself that hears or writes anything


def stream_events(live: LiveSession, do: Callable[[], object]) -> Iterator[Event]:
    """The events while `do` works on a session; what it raises is raised here.

    Closing the iterator acts as Ctrl-C does: what is being written or run ends, and what was written stays.
    """
    live.ownership.acquire()
    events: SimpleQueue[Event | None] = SimpleQueue()
    failed: list[BaseException] = []
    owning = ThreadEvent()
    on_event, live.stopping = live.on_event, False

    def forward(event: Event) -> None:
        on_event(event)
        events.put(event)

    def work() -> None:
        owning.wait()
        try:
            do()
        except BaseException as error:  # carried to where the events are read
            failed.append(error)
        finally:
            live.on_event = on_event
            live.ownership.release()
            events.put(None)

    live.on_event = forward
    worker = Thread(target=work, name="turn", daemon=True)
    worker.start()
    live.ownership.hand_to(worker.ident or 0)
    owning.set()
    try:
        while (event := events.get()) is not None:
            yield event
    except BaseException:
        live.stopping = True
        raise
    finally:
        join_worker(live, worker)
        live.stopping = False
    if failed:
        raise failed[0]


def join_worker(live: LiveSession, worker: Thread) -> None:
    """Waits for a thread; one that was asked to stop and only waits for a program is interrupted."""
    while worker.is_alive():
        worker.join(GRACE_SECONDS if live.stopping else None)
        if live.stopping and worker.is_alive():
            live.stopping = False
            interrupt_thread(worker)


def interrupt_thread(thread: Thread) -> None:
    """Raises KeyboardInterrupt in another thread at its next step in Python."""
    if thread.ident is not None:
        ident = ctypes.c_ulong(thread.ident)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(KeyboardInterrupt))
