"""Sessions that somebody listens to, in a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from support import DEADLINE_SECONDS, eventually

import chat_pb2
from chat.client import Change, ChatError, Session, State


class Listener:
    """A session whose iteration runs in a thread: `messages` and `states` as they came."""

    def __init__(self, session: Session, states: list[State]) -> None:
        self.session = session
        self.states = states
        self.messages: list[chat_pb2.Message] = []
        self.error: ChatError | None = None
        self._thread = threading.Thread(target=self._listen, name="listen")
        self._thread.start()

    def _listen(self) -> None:
        try:
            for message in self.session:
                self.messages.append(message)
        except ChatError as error:
            self.error = error

    @property
    def texts(self) -> list[str]:
        return [m.message for m in list(self.messages) if m.kind == chat_pb2.KIND_UNSPECIFIED]

    @property
    def changes(self) -> list[Change]:
        return [state.change for state in list(self.states)]

    def wait(self, predicate: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
        eventually(predicate, seconds, lambda: (self.changes, self.texts[-10:], self.error))

    def join(self) -> None:
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive()


@contextmanager
def listening(address: str, name: str, **options: object) -> Iterator[Listener]:
    """Open a session that somebody listens to, for the length of the block."""
    states: list[State] = []
    session = Session(address, name, on_state=states.append, **options)  # type: ignore[arg-type]
    listener = Listener(session, states)
    try:
        yield listener
    finally:
        session.abort()
        listener.join()
