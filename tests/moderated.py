"""A chat with an operator, for the tests of moderation: people who join it, and what they hear."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import grpc
from rooms import Chat, FakeLog, Message, Reader, quiet
from support import METHOD, LoopThread

import chat_pb2
import chat_pb2_grpc
from chat.protocol.metadata import JoinRequest
from chat.protocol.names import name_key
from chat.server.hub import Hub
from chat.server.interceptors import SharedBytes
from chat.server.neighbours import Neighbours
from chat.server.posting import Posting
from server import ChatService

REMOVED, BANNED, MUTED = chat_pb2.KIND_REMOVED, chat_pb2.KIND_BANNED, chat_pb2.KIND_MUTED
NOTICE = chat_pb2.KIND_NOTICE
KEY_OF_ANA, KEY_OF_BIA = "key-of-ana", "key-of-bia"
NOW = 1_700_000_000.0
ENDED = 0.0


class Clock:
    """Seconds since 1970, as the test says."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Moderated(Chat):
    """A chat whose operators are `names`; `trail`: what was noted."""

    def __init__(
        self, log: FakeLog | None = None, *names: str, neighbours: Neighbours | None = None
    ) -> None:
        super().__init__(log, neighbours=neighbours)
        self.posting = Posting(self.hub, self._show)
        self.trail: list[dict[str, object]] = []
        self.hub.moderation.operators = frozenset(map(name_key, names or ("ana",)))
        self.hub.moderation.trail = self.trail.append

    async def come(
        self,
        name: str | None,
        owner: str = "",
        session: str = "",
        address: str = "",
        room: str = "",
    ) -> Reader:
        """Let somebody in: a full client, or with None a plain one."""
        if name is None:
            return Reader(self, await self.hub.join(JoinRequest(), address))
        request = JoinRequest(name, room=room, session=session, inbox=0)
        return Reader(self, await self.hub.join(request, address, owner))

    async def operator(self, name: str = "ana", room: str = "") -> Reader:
        return await self.come(name, KEY_OF_ANA, session="a" * 32, room=room)


def wish(
    kind: chat_pb2.Kind, to: str = "", words: str = "", until: float | None = None, key: str = "k"
) -> Message:
    """Return what an operator sends."""
    message = Message(kind=kind, to=to, message=words, key=key)
    if until is not None:
        message.sent_at.FromNanoseconds(int(until * 1e9))
        message.sent_at.SetInParent()
    return message


async def facts(reader: Reader) -> list[tuple[str, str, str, str]]:
    """Return what somebody was told that operators did: kind, user, whom, the words."""
    await quiet()
    kinds = {REMOVED: "REMOVED", BANNED: "BANNED", MUTED: "MUTED"}
    told = [m for m in reader.messages if m.kind in kinds]
    return [(kinds[m.kind], m.user, m.to, m.message) for m in told]


class Trusting:
    """Takes `ana` at her word: a name is proved without TLS, which old clients lack."""

    def owner_of(self, request: JoinRequest) -> str:
        return KEY_OF_ANA if request.user == "ana" else ""


class ModeratedServer:
    """A chat on this machine, in the clear, whose operator is `ana`."""

    def __init__(self, loop: LoopThread) -> None:
        self._loop = loop
        self.shown: list[Message] = []
        self.address = loop.run(self._start())

    async def _start(self) -> str:
        log = FakeLog()
        hub = Hub(log, 100, 0)
        await hub.start()
        hub.moderation.operators = frozenset({"ana"})
        service = ChatService(hub, self._show, proofs=Trusting())  # type: ignore[arg-type]
        log.start(service.broadcast)
        self._server = grpc.aio.server(interceptors=[SharedBytes(METHOD)])
        chat_pb2_grpc.add_ChatServiceServicer_to_server(service, self._server)  # type: ignore[no-untyped-call]
        port = self._server.add_insecure_port("localhost:0")
        await self._server.start()
        return f"localhost:{port}"

    def _show(self, room: str, messages: Sequence[Message]) -> None:
        self.shown.extend(messages)

    def stop(self) -> None:
        self._loop.run(self._server.stop(None))
        del self._server  # gRPC's thread ends with it


@contextmanager
def moderated_server() -> Iterator[ModeratedServer]:
    """Run one for the length of the block."""
    loop = LoopThread()
    server = ModeratedServer(loop)
    try:
        yield server
    finally:
        server.stop()
        loop.close()
