"""One chat kept alive: it reconnects, resumes, and brings each message once.

The library under `client.py`, and for bots:

    with Session("localhost:50051", "eco") as chat:
        for message in chat:
            if message.message.startswith("!eco "):
                chat.send(message.message.removeprefix("!eco "), room=message.room)

Whoever iterates does the network's work; any thread may send. What was sent is kept until the
server has echoed it, and is sent again with the same key after a lost connection, so that the
server can append it once. A message is said in the room that it was sent to, whatever happens to
the line. With a plain server, which has neither ids nor echoes to go by, nothing is promised.

Who is itself restarted keeps `id` and `place`, and gives them to the next session: it misses
nothing, and is who it was. Knows no terminal.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

import grpc

from chat.cli.credentials import check_token_stays_safe
from chat.client.address import parse_addresses
from chat.client.connection import Connection, OpenStream, open_stream
from chat.client.cursor import Cursor, Place
from chat.client.outbox import Outbox, Peer
from chat.client.pins import pins_of
from chat.client.proving import Prover
from chat.client.receiver import PLAIN_FAREWELL_SECONDS, Receiver
from chat.client.sealing import Sealing
from chat.client.servers import Servers
from chat.client.state import State
from chat.client.trust import Trust
from chat.protocol.errors import ChatError, ConfigError
from chat.protocol.limits import DEFAULT_HISTORY, MAX_SEARCH_CHARACTERS
from chat.protocol.metadata import JoinRequest
from chat.protocol.names import COMMON_ROOM, check_name, check_room, name_key
from chat.protocol.text import check_message
from chat.protocol.words import Query
from chat_pb2 import (
    KIND_ACTION,
    KIND_CLOSED,
    KIND_ENTERED,
    KIND_EXITED,
    KIND_HISTORY,
    KIND_INVITED,
    KIND_KEY,
    KIND_NOTICE,
    KIND_OPENED,
    KIND_RENAMED,
    KIND_ROOMS,
    KIND_SEARCH,
    KIND_UNSPECIFIED,
    KIND_WHO,
    Message,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

DEFAULT_CLOSE_SECONDS = 10.0
# Who presses Ctrl-C, or stops a service, is not to wait for long.
INTERRUPTED_CLOSE_SECONDS = 2.0


class Session:
    """One person's chat, over as many streams as it takes.

    `address`: `HOST[:PORT]`, with commas between those of several servers that share a log: who
    loses one goes on at another, with everything. `name`: 1 to 32 characters. `rooms`: the first
    ones, empty for the common one; those of `place` come with it. `history`: how many of the last
    messages come first in a room that was never seen (0 to 1000). `token`: what the server asks
    for. `credentials`: for TLS, a `Trust` or gRPC's own. `retry_first_connect`: keep trying
    although the first attempt failed. `on_state`: called with each `State`, by the thread that
    iterates (SILENT and WAITING_FOR_KEY: by another one). `open_stream`: how a stream is opened,
    see `connection.open_stream`. `session_id`: 32 hex digits, who this is, whatever it is called;
    made up if empty. `place`: how far an earlier session had seen; `at_most`: of what came since
    in a room so many come, the newest (0 to 1000), and the NOTICE MORE_MISSED says how many more
    there are; None: all of it. `key`: by which the name is one's own, on a server with TLS where
    `credentials` is a `Trust` (`keys.user_key`). What is private is sealed by it, wherever the
    other one has a key too; `sealing`: what does so, where other people's keys are not to be kept
    in the user's state folder.

    Iterating yields every `chat_pb2.Message`, with the `room` that it belongs to: one's own echoes,
    presence, notices and answers included, each log message once and in order within its room. What
    came sealed is opened (`message`, empty where it cannot be), and `sealed` is not empty. It
    blocks, ends after `close()`, and raises `ChatError` when the server refuses for good
    (`reason`), `ConfigError` when no server is there, or for what is no address, and whatever
    `on_state` or `open_stream` raised, in whichever thread: the session is over by that, and
    whoever sends learns it (CLOSED).

    `_changed` guards `_iterating` and `_has_ended`; outbox, cursor and receiver have locks of their
    own. `on_state` may be replaced before the iteration begins, and `on_pause`, which is called by
    the thread that iterates whenever all that has come together was yielded. `addresses`, with
    their ports, does not change; `_last_place` is set once, by whoever closes.
    """

    def __init__(
        self,
        address: str,
        name: str,
        *,
        rooms: Sequence[str] = (COMMON_ROOM,),
        history: int = DEFAULT_HISTORY,
        token: str = "",
        credentials: grpc.ChannelCredentials | Trust | None = None,
        retry_first_connect: bool = False,
        on_state: Callable[[State], None] = lambda state: None,
        open_stream: OpenStream = open_stream,
        session_id: str = "",
        place: Place | None = None,
        at_most: int | None = None,
        key: Ed25519PrivateKey | None = None,
        sealing: Sealing | None = None,
    ) -> None:
        self.addresses = parse_addresses(address)
        for each in self.addresses:
            check_token_stays_safe(each.rpartition(":")[0], token, credentials is not None)
        self.id = session_id or secrets.token_hex(16)  # by which the server knows it again
        self.on_state = on_state
        self.on_pause: Callable[[], None] = lambda: None
        if sealing is None and key is not None:
            sealing = Sealing(key, pins_of(self.addresses))
        self.sealing = sealing
        self._outbox = Outbox(sealing)
        self._cursor = Cursor([check_room(room) for room in rooms], history, place, at_most)
        self._receiver = Receiver(
            Servers([Connection(each, credentials, open_stream) for each in self.addresses]),
            JoinRequest(check_name(name), session=self.id, wants_batches=True, token=token),
            self._outbox,
            self._cursor,
            Prover(key, self.id) if key is not None else None,
            retry_first_connect=retry_first_connect,
            on_state=lambda state: self.on_state(state),
            on_pause=lambda: self.on_pause(),
            sealing=sealing,
        )
        self._last_place: Place | None = None  # once nothing more is yielded
        self._changed = threading.Condition()
        self._iterating: int | None = None  # the thread that does
        self._has_ended = False

    # Saying something; from any thread.

    def send(
        self,
        text: str,
        room: str | None = None,
        to: str = "",
        key: str = "",
        is_action: bool = False,
    ) -> str:
        """Say `text` to a room, or privately `to` one person; return the message's key.

        `room`: one that the session is in or is entering; None: the first of them. `key`: at most
        256 characters, its own for each message; made up here if empty. `is_action`: "ana waves"
        rather than "ana: waves". Raises `ChatError` at once where it can never be accepted, or
        NOT_IN_ROOM; KEY_INVALID also while another message waits under the key; KEY_CHANGED, and
        what else `Sealing` says, where it is not sealed although the other one has a key.

        Blocks while `outbox.MAX_PENDING` messages wait for their echo; not in the thread that
        iterates, which hears the echoes: there it raises TOO_MUCH_WAITING from
        `outbox.MAX_UNWAITED` on.
        """
        check_message(text)
        kind = KIND_ACTION if is_action else KIND_UNSPECIFIED
        message = Message(user=self.name, message=text, to=to, key=key, kind=kind)
        if not to:
            message.room = self._checked(room)
        return self._put(message)

    def enter(
        self, room: str, count: int | None = None, key: str = "", after: int | None = None
    ) -> str:
        """Be in `room` too; the echo of kind ENTERED says that it is so. Returns the key.

        First come its last `count` messages (0 to 1000); None: all that is new since it was left,
        or as many as `history` says. `after`: only what came after this id, of that the last
        `count`; None of them: all. Raises ROOM_INVALID.
        """
        wish = self._cursor.entry(check_room(room), count, after)
        wish.key = key
        return self._put(wish)

    def leave(self, room: str, key: str = "") -> str:
        """Leave a room; the echo of kind EXITED says that it is so. Returns the key.

        Raises NOT_IN_ROOM, and LAST_ROOM for the only one.
        """
        room = self._checked(room)
        if len(self._rooms_wanted()) == 1:
            raise ChatError("LAST_ROOM")
        return self._put(Message(kind=KIND_EXITED, room=room, key=key))

    def close_room(self, room: str | None = None, key: str = "") -> str:
        """Close a room (None: the first): whoever came there first, under a name of their own, may.

        From then on it is for the invited and those inside; the echo of kind CLOSED says that it is
        so. Returns the key.
        """
        return self._put(Message(kind=KIND_CLOSED, room=self._named(room), key=key))

    def open_room(self, room: str | None = None, key: str = "") -> str:
        """Open one's closed room again; the echo of kind OPENED says that it is so. The key."""
        return self._put(Message(kind=KIND_OPENED, room=self._named(room), key=key))

    def invite(self, name: str, room: str | None = None, key: str = "") -> str:
        """Invite somebody into one's closed room; they are told. Returns the key."""
        invitation = Message(kind=KIND_INVITED, to=check_name(name), room=self._named(room))
        invitation.key = key
        return self._put(invitation)

    def uninvite(self, name: str, room: str | None = None, key: str = "") -> str:
        """Take back an invitation into one's closed room; who is inside has to leave.

        The echo of kind EXITED, with `to`, says that it is so. Returns the key.
        """
        wish = Message(kind=KIND_EXITED, to=check_name(name), room=self._named(room), key=key)
        return self._put(wish)

    def _named(self, room: str | None) -> str:
        """Return a room, whether the session is in it or not; None: the first."""
        return self._checked(None) if room is None else check_room(room)

    def rename(self, name: str, key: str = "") -> str:
        """Ask to be called `name`; the echo of kind RENAMED says that it is so. Returns the key."""
        return self._put(Message(message=check_name(name), kind=KIND_RENAMED, key=key))

    def take_name(self, name: str) -> None:
        """Come in under another name, where the old one was lost (NAME_TAKEN, NAME_OWNED)."""
        self._receiver.take_name(check_name(name))

    def wait_for_name(self) -> None:
        """From now on a name that is taken is no refusal, though it was never ours.

        It is told by `on_state` (`Change.NAME_TAKEN`) and tried again, until it is free or
        `take_name` gives another one. One that is somebody else's for good (`Change.NAME_OWNED`) is
        not tried again.
        """
        self._receiver.wait_for_name()

    def ask_who(self, room: str | None = None, key: str = "") -> str:
        """Ask who is in a room (None: the first); one PRESENT each, then the echo. The key."""
        return self._put(Message(kind=KIND_WHO, room=self._named(room), key=key))

    def ask_rooms(self, key: str = "") -> str:
        """Ask which rooms have people; one ROOMS each, then the echo. Returns the key."""
        return self._put(Message(kind=KIND_ROOMS, key=key))

    def ask_key(self, name: str, key: str = "") -> str:
        """Ask for the key by which is sealed what is for `name`. Returns the key of the question.

        The answer is of kind KEY; its text is the key's fingerprint, empty where there is none.
        Raises NO_OWN_KEY.
        """
        if self.sealing is None:
            raise ChatError("NO_OWN_KEY")
        return self._put(Message(kind=KIND_KEY, to=check_name(name), key=key))

    def history(self, count: int, room: str | None = None, before: int = 0, key: str = "") -> str:
        """Ask for the last `count` messages (1 to 1000) of a room before an id, once more.

        They come in the `batch` of messages of kind HISTORY with this key, the oldest first; one
        without `batch` ends them. `before` 0: the newest. Returns the key.
        """
        room = self._checked(room)
        wish = Message(kind=KIND_HISTORY, message=str(count), room=room, id=before, key=key)
        return self._put(wish)

    def around(
        self,
        message_id: int,
        count: int,
        room: str | None = None,
        key: str = "",
        after: int | None = None,
    ) -> str:
        """Ask for what was said around a message: `count` before it, and `after` from it on.

        None: as many. The answer is like that of `history`. Returns the key.
        """
        counts = f"{count}+{count if after is None else after}"
        wish = Message(kind=KIND_HISTORY, message=counts, id=message_id, key=key)
        wish.room = self._checked(room)
        return self._put(wish)

    def search(self, text: str, room: str | None = None, before: int = 0, key: str = "") -> str:
        """Ask for what was said in a room before an id (0: the newest) and has all these words.

        What is found comes in the `batch` of messages of kind SEARCH with this key, the newest
        first; one without `batch` ends it. Its `id` is 0 where all was looked through, else that
        before which to go on. Raises SEARCH_INVALID. Returns the key.
        """
        if not Query.of(text).terms or len(text) > MAX_SEARCH_CHARACTERS:
            raise ChatError("SEARCH_INVALID")
        room = self._checked(room)
        return self._put(Message(kind=KIND_SEARCH, message=text, room=room, id=before, key=key))

    def moderate(
        self, kind: int, to: str, words: str = "", until: float | None = None, key: str = ""
    ) -> str:
        """Remove, ban or mute `to` (KIND_REMOVED, KIND_BANNED, KIND_MUTED), as an operator.

        `words`: the reason, at most 256 characters. `until`: seconds since 1970; None: for good; 0:
        end it. The fact, with the key that is returned, says that it is done.
        """
        wish = Message(to=to, message=words, key=key)
        wish.kind = kind  # type: ignore[assignment]
        if until is not None:
            wish.sent_at.FromNanoseconds(int(until * 1e9))
            wish.sent_at.SetInParent()
        return self._put(wish)

    def announce(self, text: str, key: str = "") -> str:
        """Say something to everybody on the server, as an operator. Returns the key."""
        return self._put(Message(kind=KIND_NOTICE, message=check_message(text), key=key))

    def _put(self, message: Message) -> str:
        with self._changed:
            can_wait = self._iterating != threading.get_ident()
        return self._outbox.put(message, can_wait)

    def _checked(self, room: str | None) -> str:
        """Return the room as it was typed when it was entered; raises NOT_IN_ROOM."""
        wanted = self._rooms_wanted()
        if room is None:
            return next(iter(wanted.values()))
        if name_key(check_room(room)) not in wanted:
            raise ChatError("NOT_IN_ROOM")
        return wanted[name_key(room)]

    def _rooms_wanted(self) -> dict[str, str]:
        """Return the rooms, by key, as they will be once all that is pending is done."""
        wanted = {name_key(room): room for room in self._cursor.rooms}
        for wish in self._outbox.wishes:
            if wish.kind == KIND_ENTERED:
                wanted.setdefault(name_key(wish.room), wish.room)
            else:
                wanted.pop(name_key(wish.room), None)
        return wanted

    # How it stands; from any thread.

    @property
    def name(self) -> str:
        """The name, as far as the server has agreed to it."""
        return self._receiver.name

    @property
    def rooms(self) -> tuple[str, ...]:
        """The rooms that it is in, or will be once all that is pending is done, as typed."""
        return tuple(self._rooms_wanted().values())

    @property
    def place(self) -> Place:
        """How far everything was seen; with `id`, all that a later session needs."""
        return self._last_place or self._cursor.place

    @property
    def pending(self) -> list[Message]:
        """What the server has not confirmed yet, in the order in which it was said."""
        return self._outbox.pending

    def is_pending(self, key: str) -> bool:
        """Say whether the server has not confirmed yet what has this key."""
        return self._outbox.find(key) is not None

    @property
    def unacknowledged(self) -> int:
        """How many messages the server has not confirmed yet."""
        return self._outbox.unacknowledged

    @property
    def is_full(self) -> bool:
        """Whether the server gives ids, history and acknowledgements, as far as is known."""
        return self._outbox.peer is not Peer.PLAIN

    @property
    def is_connected(self) -> bool:
        """Whether a server has said, in the present stream, what it is."""
        return self._outbox.peer in (Peer.FULL, Peer.PLAIN)

    @property
    def is_silent(self) -> bool:
        """Whether the server says nothing: not for some seconds, or never a word in any stream."""
        return self._outbox.peer is Peer.SILENT or not self._outbox.has_met_server

    def wait_acknowledged(self, timeout: float, allowed: int = 0) -> bool:
        """Wait until all but `allowed` are acknowledged; return whether to wait on is worth while.

        Blocks for `timeout` seconds at most. Somebody else must iterate meanwhile. When the
        session ends, nothing more is acknowledged.
        """
        return self._outbox.wait_acknowledged(timeout, allowed)

    # The end.

    def close(self, timeout: float = DEFAULT_CLOSE_SECONDS) -> int:
        """Send what waits, take the echoes, and end; return how many were not acknowledged.

        Blocks for `timeout` seconds at most. What still comes in is yielded to whoever iterates; if
        nobody does, it is dropped, and counts as not seen. Others see at once that we have left,
        also where the loop was left in the middle. Called by the thread that iterates it only ends
        the iteration.
        """
        self._outbox.close()
        with self._changed:
            iterating, has_ended = self._iterating, self._has_ended
        if iterating == threading.get_ident():
            return self.unacknowledged
        if iterating is None and (has_ended or self._outbox.is_done):
            return self.unacknowledged
        timer = self._receiver.abort_in(timeout)
        if not self._expects_end_of_stream():
            self._receiver.abort_in(PLAIN_FAREWELL_SECONDS)
        try:
            if iterating is None:
                self._drop_the_rest()
            else:
                with self._changed:
                    # Whoever iterated may have gone away in the middle of it.
                    has_ended = self._changed.wait_for(
                        lambda: self._has_ended or self._iterating is None, timeout
                    )
                if not has_ended:
                    self.abort()
        finally:
            timer.cancel()
        return self.unacknowledged

    def _drop_the_rest(self) -> None:
        """Take what still comes, and tell nobody: it is neither seen nor a pause."""
        self._last_place = self._cursor.place
        self.on_state = lambda state: None
        self.on_pause = lambda: None
        for _message in self:
            pass

    def _expects_end_of_stream(self) -> bool:
        """Say whether the server ends the stream, or will tell what it is by an answer."""
        peer = self._outbox.peer
        is_to_tell = peer in (Peer.UNKNOWN, Peer.SILENT) and self.unacknowledged > 0
        return peer is Peer.FULL or is_to_tell

    def abort(self) -> None:
        """End at once, whatever is on its way."""
        self._receiver.abort()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave in order; where the block ended by an error, at once, as somebody cut off would.

        Ctrl-C, and a signal that ends the program by `sys.exit`, are no errors; it takes
        `INTERRUPTED_CLOSE_SECONDS` at most then.
        """
        if error is None:
            self.close()
        elif isinstance(error, (KeyboardInterrupt, SystemExit)):
            with suppress(ChatError, ConfigError):  # the interruption itself is what is raised
                self.close(INTERRUPTED_CLOSE_SECONDS)
        else:
            self.abort()

    # Hearing; in the thread that iterates.

    def __iter__(self) -> Iterator[Message]:
        with self._changed:
            self._iterating = threading.get_ident()
        try:
            yield from self._receiver.messages()
        except Exception:
            # Nobody hears any more: those who send must not wait for ever.
            self._outbox.abort()
            raise
        finally:
            with self._changed:
                self._iterating = None
                self._has_ended = self._outbox.is_done
                self._changed.notify_all()
