"""One stream after the other, and what they bring: the half of a session that hears.

Runs in the thread that iterates the session. Knows gRPC only by way of `connection.py` and
`refusals.py`.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from chat.cli.i18n import _
from chat.client.answers import Answers
from chat.client.connection import (
    Answer,
    Stream,
    StreamError,
    Way,
)
from chat.client.cursor import Cursor
from chat.client.outbox import Outbox, Peer
from chat.client.own_name import OwnName
from chat.client.proving import Prover
from chat.client.refusals import details_of, reason_of, server_time_of
from chat.client.sanitize import unpacked
from chat.client.sealing import Sealing
from chat.client.servers import OWN_REASONS, OtherChat, Refusal, Servers
from chat.client.state import Change, State
from chat.client.unreachable import Unreachable
from chat.protocol.errors import ChatError, ConfigError, explain, is_final
from chat.protocol.kinds import READINGS, SAID
from chat.protocol.metadata import Greeting, JoinRequest
from chat_pb2 import (
    KIND_ENTERED,
    KIND_EXITED,
    KIND_KEY,
    KIND_NOTICE,
    KIND_RENAMED,
    Message,
)

# Why somebody else has the name: somebody is here, who may leave, or owns it, for good.
LOST_NAMES = {"NAME_TAKEN": Change.NAME_TAKEN, "NAME_OWNED": Change.NAME_OWNED}

# Why a message was sealed in vain: who it is for has another key than the server said, or none.
OUTDATED_KEYS = ("KEY_UNKNOWN", "NAME_UNOWNED")

# A plain server does not end a stream that the client has half-closed.
PLAIN_FAREWELL_SECONDS = 0.75
# A full server speaks at once. One that says nothing for so long is a plain one to which nobody has
# spoken yet, or has no place for us (a pool of threads that are all taken).
SILENT_SECONDS = 5.0


class Receiver:
    """Opens a stream, and another one when it is lost, until the outbox is done.

    `servers`: where; each stream goes to the one that is present in it then. `request`: who joins.
    `prover`: proves that the name is its own; None: nobody does. `sealing`: opens what is sealed.
    `retry_first_connect`, `on_state`, `on_pause`: as `Session` has them.

    `_lock` guards `_call` and `_failure` (of a thread beside the one that iterates).
    `_was_connected`, `_retry_first_connect`, `_is_new_log`, `_is_key_new` (something was learned of
    a key), `_entering` (the rooms that the present stream enters by itself, by key) belong to the
    thread that iterates; outbox, cursor, name and sealing have locks of their own.
    """

    def __init__(
        self,
        servers: Servers,
        request: JoinRequest,
        outbox: Outbox,
        cursor: Cursor,
        prover: Prover | None = None,
        *,
        retry_first_connect: bool,
        on_state: Callable[[State], None],
        on_pause: Callable[[], None] = lambda: None,
        sealing: Sealing | None = None,
    ) -> None:
        self._sealing = sealing
        self._servers = servers
        self._request = request
        self._outbox = outbox
        outbox.on_stall = lambda: self._tell(self._tell_stall)
        self._cursor = cursor
        self._own_name = OwnName(request.user or "")
        self._answers = Answers(outbox, self._own_name)
        self._prover = prover
        self._retry_first_connect = retry_first_connect
        self._on_state = on_state
        self._on_pause = on_pause
        self._was_connected = False
        self._entering: dict[str, Message] = {}
        self._is_new_log = False
        self._is_key_new = False
        self._has_new_name = threading.Event()
        self._waits_for_name = threading.Event()
        self._lock = threading.Lock()
        self._call: Any = None
        self._failure: Exception | None = None

    # From any thread.

    @property
    def name(self) -> str:
        """The name, as far as the server has agreed to it."""
        return self._own_name.present

    def take_name(self, name: str) -> None:
        """Come in under another name from the next attempt on, which comes at once."""
        self._own_name.take(name)
        self._has_new_name.set()
        self._outbox.wake()

    def wait_for_name(self) -> None:
        """Try a taken name again, also before the first connection; of an owned, await another."""
        self._waits_for_name.set()

    def abort(self) -> None:
        """End at once, whatever is on its way."""
        self._outbox.abort()
        self._cancel_if_aborted()

    def _cancel_if_aborted(self) -> None:
        with self._lock:
            call = self._call
        if call is not None and self._outbox.is_aborted:
            call.cancel()

    def abort_in(self, seconds: float) -> threading.Timer:
        """Abort after so many seconds, in a thread of its own, unless the timer is cancelled."""
        return _after(seconds, self.abort)

    # In the thread that iterates.

    def messages(self) -> Iterator[Message]:
        """Yield what one stream after the other brings; raises a refusal. Blocks."""
        while not self._outbox.is_done:
            change = yield from self._listen()
            if change is not None and not self._outbox.is_done:
                self._on_state(change)
                self._wait_after(change)
        self._check_failure()

    def _state(self, change: Change, **details: Any) -> State:
        return State(change, address=self._servers.present.address, **details)

    def _wait_after(self, change: State) -> None:
        """Block until it is time for another attempt: where the name is owned, for another one."""
        seconds = None
        if change.change is not Change.NAME_OWNED:
            is_same = change.change is Change.NAME_TAKEN  # as it is at each of the servers
            seconds = self._servers.try_again() if is_same else self._servers.go_on()
            self._on_state(self._state(Change.RETRYING, seconds=seconds))
        self._outbox.wait_until_done(seconds, self._has_new_name)
        self._has_new_name.clear()

    def _listen(self) -> Generator[Message, None, State | None]:
        """Yield what one stream brings; return how it was lost, None to go on at once."""
        server = self._servers.present
        try:
            way = server.prepare(self._is_aborted, self._servers.patience_seconds)
        except Unreachable as error:
            return self._meet_nobody(error)
        except ConfigError as error:
            return self._pass_over(error, is_final=True)
        try:
            with self._stream(way) as stream:
                greeting = self._first_word(stream)
                is_other = self._servers.is_other_chat(greeting.epoch)
                if is_other and greeting.epoch:
                    return self._pass_over(OtherChat(server.address), is_final=True)
                if not is_other and not self._greet(greeting):
                    return None
                for message in stream.call:
                    if is_other:  # a plain server, since it says something
                        return self._pass_over(OtherChat(server.address), is_final=True)
                    self._servers.note_answer()
                    yield from self._meet_plain()
                    yield from filter(self._is_news, unpacked(message))
                    yield from self._give_up_unsealable()
                    self._on_pause()
                return self._state(Change.LOST, cause=_("the server ended the stream"))
        except StreamError as error:
            if (notice := self._give_up_room(error)) is not None:
                yield notice
                return None
            return self._judge(error)

    def _meet_nobody(self, error: Unreachable) -> State | None:
        if self._outbox.is_aborted:
            return None
        if self._is_first_attempt:
            return self._pass_over(error, is_final=False)
        return self._state(Change.LOST, cause=_cause(""))

    def _pass_over(self, refusal: Refusal, *, is_final: bool) -> State:
        """Leave this server for another one, for good if `is_final`; raises as `Servers.fail`."""
        self._servers.fail(refusal, is_final=is_final, is_awaited=self._is_first_attempt)
        reason = refusal.reason if isinstance(refusal, ChatError) else ""
        return self._state(Change.PASSED_OVER, cause=str(refusal), reason=reason)

    @contextmanager
    def _stream(self, way: Way) -> Iterator[Stream]:
        """Open a stream for the length of the block."""
        first = self._entries()
        self._is_new_log = False
        if self._sealing is not None:
            self._sealing.begin_stream(self.name)
        metadata = self._join_request(way.fingerprint).to_metadata()
        connection = self._servers.present
        try:
            with connection.stream(way, self._outbox.begin_stream(first), metadata) as stream:
                with self._lock:
                    self._call = stream.call
                # An abort while it was being opened found no call to cancel.
                self._cancel_if_aborted()
                yield stream
        except Exception:
            raise
        except BaseException:  # a signal, or whoever iterates has left the loop
            self._outbox.give_up_stream()
            raise
        finally:
            with self._lock:
                self._call = None
            self._outbox.end_stream()

    def _join_request(self, fingerprint: str) -> JoinRequest:
        """Return who joins the server with the certificate of this fingerprint, if it has one."""
        room, after, history, inbox, generation = self._cursor.begin_stream()
        name = self.name
        return replace(
            self._request,
            user=name,
            proof=self._prover.prove(name, fingerprint) if self._prover is not None else "",
            room=room,
            after=after,
            history=history,
            inbox=inbox,
            generation=generation,
            at_most=self._cursor.at_most,
        )

    def _entries(self) -> list[Message]:
        """Return the wishes by which the stream enters the rooms beside the first."""
        entries = self._cursor.entries()
        for entry in entries:
            entry.key = secrets.token_hex(12)
        self._entering = {entry.key: entry for entry in entries}
        return entries

    def _first_word(self, stream: Stream) -> Greeting:
        """Return what the server says first; if it says nothing for long, that is looked into."""
        has_spoken = threading.Event()
        # One that may be of another chat is to get nothing before it has said so.
        is_awaited = self._servers.is_other_chat("")
        timer = _after(SILENT_SECONDS, lambda: self._meet_silence(stream, has_spoken, is_awaited))
        try:
            return Greeting.from_metadata(stream.call.initial_metadata() or ())
        finally:
            has_spoken.set()
            timer.cancel()

    def _meet_silence(self, stream: Stream, has_spoken: threading.Event, is_awaited: bool) -> None:
        """Look into a silence, in a thread of its own: the one that iterates waits for its end."""
        self._tell(lambda: self._look_into_silence(stream, has_spoken, is_awaited))

    def _tell_stall(self) -> None:
        if self._outbox.peer is Peer.FULL:
            self._on_state(self._state(Change.WAITING_FOR_KEY))

    def _tell(self, tell: Callable[[], None]) -> None:
        """Tell something in another thread than the one that iterates.

        What `on_state` raises is raised by the iteration, where somebody sees it.
        """
        try:
            tell()
        except Exception as error:
            with self._lock:
                self._failure = error
            self.abort()

    def _look_into_silence(
        self, stream: Stream, has_spoken: threading.Event, is_awaited: bool
    ) -> None:
        """Tell of a server that says nothing; end the attempt where there is none.

        `is_awaited`: nothing is said to it before it has spoken, so that it must be one that does.
        """
        answer = stream.ask()
        if has_spoken.is_set() or self._outbox.is_done:
            return
        if answer is Answer.NOBODY or (is_awaited and answer is not Answer.CHAT):
            stream.call.cancel()
        elif is_awaited or self._outbox.meet_silence():
            self._on_state(self._state(Change.SILENT))

    def _check_failure(self) -> None:
        with self._lock:
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _greet(self, greeting: Greeting) -> bool:
        """Take the server's first word; return False if the stream must be opened anew."""
        if not greeting.epoch:
            self._outbox.meet_silence()
            return True  # a plain server, or a refusal: what comes next will tell
        self._servers.meet(greeting.epoch)
        if not self._cursor.meet_log(greeting):
            self._is_new_log = True
            self._cursor.forget_left()
            self._on_state(self._state(Change.NEW_LOG))
            if not greeting.generation:
                return False
        self._outbox.meet_full()
        if self._prover is not None:
            self._prover.note_taken()
        change = Change.RESUMED if self._was_connected else Change.CONNECTED
        self._on_state(self._state(change, people=greeting.people))
        self._was_connected = True
        return True

    def _meet_plain(self) -> Iterator[Message]:
        """Note at its first message that a server without `chat-epoch` is a plain one.

        Yields a notice for each message that is given up by that.
        """
        refused = self._outbox.meet_plain()
        if refused is None:
            return
        self._servers.stay()
        self._on_state(self._state(Change.PLAIN))
        self._was_connected = True
        for message in refused:
            yield _own_notice("PLAIN_SERVER", message.key)
        if self._outbox.is_closing:
            self.abort_in(PLAIN_FAREWELL_SECONDS)

    def _give_up_unsealable(self) -> Iterator[Message]:
        """Yield a notice for each message that will not be sent, since nothing can seal it."""
        if self._is_key_new:
            self._is_key_new = False
            for message, refusal in self._outbox.give_up_unsealable():
                yield _own_notice(refusal.reason, message.key)

    # Each message.

    def _is_news(self, message: Message) -> bool:
        """Take note of a message's key and id; say whether it is to be yielded."""
        entry = self._entering.get(message.key) if message.key else None
        if entry is not None and message.kind in (KIND_ENTERED, KIND_NOTICE):
            return self._take_entry(entry, message)
        if self._sealing is not None and self._sealing.take_answer(message):
            self._is_key_new = True
            return False
        sent = self._answers.answered_by(message)
        is_answer = self._answers.is_answer(message, sent)
        if sent is not None:
            self._take_acknowledgement(sent, message)
        if message.kind == KIND_NOTICE and message.user == "LOG_REWOUND":
            if message.to:
                self._cursor.rewind_inbox()
            self._cursor.forget_left()
            return not self._is_new_log  # which was told already
        if message.kind == KIND_NOTICE and message.user == "ROOM_CLOSED" and message.room:
            self._cursor.leave(message.room)  # it was turned out
        if is_answer is not None:
            return is_answer
        is_known = sent is None and self._cursor.is_known(message)
        return self._cursor.is_news(message) and not is_known and self._is_opened(message, sent)

    def _is_opened(self, message: Message, sent: Message | None) -> bool:
        """Open what is sealed; say whether it is new. One's own words are known already."""
        if sent is not None and message.kind in SAID and (sent.sealed or message.sealed):
            message.message, message.sealed, message.to = sent.message, sent.sealed, sent.to
            return True
        if not message.sealed or self._sealing is None:
            return True
        return self._sealing.open(message)

    def _take_entry(self, entry: Message, answer: Message) -> bool:
        """Take the answer to a room that the stream entered by itself; told only if refused."""
        del self._entering[entry.key]
        if answer.kind == KIND_ENTERED:
            self._cursor.resume(entry.room, answer.id)
            return False
        self._cursor.leave(entry.room)
        answer.room = entry.room
        return True

    def _take_acknowledgement(self, sent: Message, answer: Message) -> None:
        if answer.kind == sent.kind == KIND_RENAMED:
            self._own_name.take(sent.message)
            if self._sealing is not None:
                self._sealing.take_name(sent.message)
        elif answer.kind == sent.kind == KIND_ENTERED:
            self._cursor.enter(sent, answer.id)
        elif answer.kind == sent.kind == KIND_EXITED and not sent.to:
            self._cursor.leave(sent.room)
        elif answer.kind in READINGS and answer.batch:
            return  # there is more of it
        elif answer.kind == sent.kind == KIND_KEY and self._sealing is not None:
            self._sealing.take_offer(sent.to, answer)
            self._is_key_new = True
        elif answer.kind == KIND_NOTICE and answer.user in OUTDATED_KEYS and self._sealing:
            self._sealing.forget_offer(sent.to)
        self._outbox.acknowledge(sent.key)

    def _give_up_room(self, error: Any) -> Message | None:
        """Go on without the first room, where it was closed meanwhile; return what is told of it.

        None: that is not why the stream ended, or it never began.
        """
        reason = reason_of(error)
        if reason != "ROOM_CLOSED" or not self._was_connected or self._outbox.is_aborted:
            return None
        room = self._cursor.give_up_first()
        if room is None:
            return None
        return Message(kind=KIND_NOTICE, user=reason, message=explain(reason, ""), room=room)

    def _judge(self, error: Any) -> State | None:
        """Return how the stream was lost, None where we ended it; raises what ends the session."""
        if self._outbox.is_aborted:
            return None
        reason = reason_of(error)
        if reason == "PROOF_INVALID" and self._corrects_clock(error):
            return None
        if reason in LOST_NAMES and self._may_have_another(reason):
            self._retry_first_connect = True  # somebody is there
            return self._state(LOST_NAMES[reason], cause=explain(reason, ""))
        refusal, is_lasting = self._refusal(error, reason)
        if refusal is None:
            return self._state(Change.LOST, cause=_cause(reason))
        if is_final(reason) and reason not in OWN_REASONS:
            raise refusal
        return self._pass_over(refusal, is_final=is_lasting)

    def _refusal(self, error: Any, reason: str) -> tuple[Refusal | None, bool]:
        """Return why the server cannot be used, and whether another attempt would end so too.

        None where it is but lost.
        """
        if reason and (is_final(reason) or self._is_first_attempt):
            return ChatError(reason, details_of(error)), is_final(reason)
        if self._is_first_attempt:
            found = self._servers.present.explain(error, self._is_aborted)
            return found, not isinstance(found, Unreachable)
        return self._servers.present.explain_untrusted(error, self._is_aborted), True

    def _may_have_another(self, reason: str) -> bool:
        """Say whether the session goes on, with this name or, where that is owned, another one."""
        is_taken = reason == "NAME_TAKEN"
        return self._waits_for_name.is_set() or (is_taken and self._was_connected)

    @property
    def _is_first_attempt(self) -> bool:
        """Whether it ends the session that nobody can be talked to."""
        return not self._was_connected and not self._retry_first_connect

    def _is_aborted(self) -> bool:
        return self._outbox.is_aborted

    def _corrects_clock(self, error: Any) -> bool:
        """Go by the server's clock, where it says it; say whether to prove the name anew."""
        seconds = server_time_of(error)
        if self._prover is None or seconds is None:
            return False
        return self._prover.correct_clock(seconds)


def _own_notice(reason: str, key: str) -> Message:
    """Return a notice that this client gives up the message with this key, and why."""
    return Message(kind=KIND_NOTICE, user=reason, key=key, message=explain(reason, ""))


def _cause(reason: str) -> str:
    """Return why the connection was lost, to somebody for whom another attempt is made."""
    if reason == "SHUTTING_DOWN":
        return _("the server is shutting down")
    return explain(reason, _("the server does not answer"))


def _after(seconds: float, call: Callable[[], None]) -> threading.Timer:
    """Call something after so many seconds, in a thread of its own, unless it is cancelled."""
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()
    return timer
