"""Stand-ins for unit tests: a terminal that remembers, and streams that go by a script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc

from chat.client import Change, Session, State
from chat.client.connection import Metadata
from chat.client.outbox import Requests
from chat.client.typed_lines import TypedLines
from chat.client.ui.base import TerminalController
from chat.client.ui.render import RenderedMessage
from chat_pb2 import Message


class FakeTerminal:
    """A terminal that remembers what it was told to do. `lines`: what `run` hands over.

    `answers` are given to questions, `interruption` is raised by `run`, `on_finish` is called when
    everything is over.
    """

    def __init__(
        self,
        lines: Sequence[str] = (),
        answers: Sequence[str] = (),
        *,
        is_interactive: bool = True,
        has_typed_lines: bool = False,
    ) -> None:
        self.is_interactive = is_interactive
        self.is_live = is_interactive
        self.has_typed_lines = has_typed_lines
        self.on_finish: Callable[[], None] = lambda: None
        self.messages: list[Message] = []
        self.shown: list[str] = []
        self.notices: list[str] = []
        self.notifications: list[tuple[str, str]] = []
        self.errors: list[str] = []
        self.given_back: list[str] = []
        self.bells = self.clears = self.refreshes = self.unread = 0
        self.is_stopped = False
        self.failure: OSError | None = None
        self.lines: TypedLines | None = None
        self.interruption: BaseException | None = None
        self._lines = list(lines)
        self._answers = list(answers)

    def ask(self, question: str) -> str:
        if not self._answers:
            raise EOFError
        return self._answers.pop(0)

    def run(self, controller: TerminalController) -> None:
        if self.interruption is not None:
            raise self.interruption
        for line in self._lines:
            if not controller.handle_line(line):
                return

    def unread_lines(self) -> int:
        return self.unread

    def show(self, message: Message, rendered: RenderedMessage) -> None:
        self.messages.append(message)
        self.shown.append(rendered.rows(None))

    def show_notice(self, line: str) -> None:
        self.notices.append(line)

    def show_separator(self, title: str) -> None:
        self.shown.append(f"--- {title} ---")

    def show_error(self, sentence: str) -> None:
        self.errors.append(sentence)

    def ring(self) -> None:
        self.bells += 1

    def notify(self, title: str, text: str) -> None:
        self.notifications.append((title, text))

    def use_lines(self, lines: TypedLines) -> None:
        self.lines = lines

    def put_back(self, line: str) -> None:
        self.given_back.append(line)

    def when_shown(self, call: Callable[[], None]) -> None:
        call()

    def clear(self) -> None:
        self.clears += 1

    def refresh(self) -> None:
        self.refreshes += 1

    def stop(self) -> None:
        self.is_stopped = True

    def finish(self) -> None:
        self.on_finish()


class FakeSession(Session):
    """A session that never connects: the test says by `meet` what the server is.

    What a test hands to the client has been taken for an answer, unless its key is in `waiting`.
    """

    def __init__(self, *rooms: str) -> None:
        super().__init__("localhost:1", "ana", rooms=rooms or ("",))
        self.knows_server = self.knows_plain_server = False
        self.names_taken: list[str] = []
        self.waiting: set[str] = set()

    def meet(self, change: Change, seconds: float = 0.0, cause: str = "") -> None:
        """Let this become of the connection."""
        self.knows_server = change in (Change.CONNECTED, Change.RESUMED, Change.PLAIN)
        self.knows_plain_server = change is Change.PLAIN
        self.on_state(State(change, seconds, cause, address="localhost:1"))

    def take_name(self, name: str) -> None:
        self.names_taken.append(name)
        super().take_name(name)

    def is_pending(self, key: str) -> bool:
        return key in self.waiting

    @property
    def is_connected(self) -> bool:
        return self.knows_server

    @property
    def is_full(self) -> bool:
        return not self.knows_plain_server


class FakeError(grpc.RpcError):
    """How a stream ended: `grpc.RpcError` as a call is one."""

    def __init__(
        self,
        code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE,
        details: str = "",
        trailing: Metadata = (),
    ) -> None:
        self._code = code
        self._details = details
        self._trailing = trailing

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._trailing


class FakeCall:
    """A stream by a script: a greeting, messages, and how it ends.

    `epoch`: of a full server, empty for a plain one. `steps`: messages, and functions to call
    between them. `end`: the error, None for a polite end. Cancelled, it ends at the next step.
    """

    def __init__(
        self,
        *steps: Message | Callable[[], object],
        epoch: str = "",
        after: str = "",
        generation: str = "",
        end: FakeError | None = None,
        before_greeting: Callable[[], object] = lambda: None,
    ) -> None:
        self._steps = steps
        greeting = [("chat-epoch", epoch), ("chat-after", after), ("chat-generation", generation)]
        self._greeting = greeting if epoch else []
        self._before_greeting = before_greeting
        self.answers: list[Message] = []  # what a step wants to be yielded after it
        self._end = end
        self._has_begun = False
        self.was_cancelled_before_it_began = False
        self.is_cancelled = False
        self.metadata: dict[str, str | bytes] = {}
        self.requests: Requests | None = None

    def initial_metadata(self) -> Sequence[tuple[str, str]]:
        self._has_begun = True
        self._before_greeting()
        return [] if self.is_cancelled else self._greeting

    def __iter__(self) -> Iterator[Message]:
        for step in self._steps:
            if self.is_cancelled:
                raise FakeError(grpc.StatusCode.CANCELLED)
            if isinstance(step, Message):
                yield step
            else:
                step()
                while self.answers:
                    yield self.answers.pop(0)
        if self.is_cancelled:
            raise FakeError(grpc.StatusCode.CANCELLED)
        if self._end is not None:
            raise self._end

    def take(self) -> Message:
        """Return the next message that the client has for this stream."""
        assert self.requests is not None and self.requests.is_ready
        message = self.requests.next()
        assert message is not None
        return message

    def cancel(self) -> None:
        self.was_cancelled_before_it_began |= not self._has_begun
        self.is_cancelled = True


def opening(*calls: FakeCall, meanwhile: Callable[[], object] = lambda: None) -> Any:
    """Return an `open_stream` that hands out these calls, and then a refusal for good.

    `meanwhile` is called while a stream is being opened.
    """
    left = list(calls)

    def open_stream(stub: Any, requests: Requests, metadata: Metadata) -> FakeCall:
        refusal = FakeError(grpc.StatusCode.UNAUTHENTICATED)
        call = left.pop(0) if left else FakeCall(end=refusal)
        call.requests, call.metadata = requests, dict(metadata)
        meanwhile()
        return call

    return open_stream
