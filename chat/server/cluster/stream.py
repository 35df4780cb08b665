"""The stream that is the log of all servers: made once, then known again by its identity.

Knows nothing of what is in it. Everything runs in the event loop; what asks NATS raises `AwayError`
and `ApiError`.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
from dataclasses import dataclass
from typing import Any

from chat.cli.i18n import _
from chat.server.cluster.connection import ApiError, Connection
from chat.server.plain_json import number_of

NAME = "CHAT"
# The last part is for partitions by room, which may follow.
SUBJECT, SUBJECTS = "chat.log.0", "chat.log.*"
MESSAGE_ID = "Nats-Msg-Id"
EXPECTED_STREAM = "Nats-Expected-Stream"
EPOCH, REWINDS = "chat-epoch", "chat-rewinds"
# How long JetStream itself drops what has an id that it knows; never longer than it keeps anything.
DUPLICATE_SECONDS = 120.0
DAY_SECONDS = 24 * 3600.0
NANOSECONDS = 1_000_000_000
# Nobody puts a stream back so often: what claims more is not believed.
MAX_REWINDS = 10**9
STREAM_NOT_FOUND, MESSAGE_NOT_FOUND = 10059, 10037

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StreamState:
    """What the stream's leader says of it.

    `epoch`: its identity. `rewinds`: how often it has been put back, as far as servers have noted.
    `first`, `last`: the sequences of what it holds, last < first where that is nothing. `copies`:
    how many NATS keeps of it.
    """

    epoch: str
    rewinds: int
    first: int
    last: int
    copies: int = 1


class Stream:
    """The stream in JetStream. `retain_days`: how long it keeps what it holds, 0 for ever."""

    def __init__(self, connection: Connection, retain_days: float, replicas: int) -> None:
        self._connection = connection
        self._retain_seconds = retain_days * DAY_SECONDS
        self._replicas = replicas

    async def prepare(self) -> StreamState:
        """Return what the stream is, after making it where there is none."""
        try:
            state = await self.look()
            self._tell_copies(state.copies)
            return state
        except ApiError as error:
            if error.code != STREAM_NOT_FOUND:
                raise
        try:
            await self._connection.api(f"STREAM.CREATE.{NAME}", self._configuration())
        except ApiError as refusal:
            try:
                return await self.look()  # another server was faster
            except ApiError:
                raise refusal from None
        return await self.look()

    def _tell_copies(self, copies: int) -> None:
        """Say it where another server has made the stream with fewer copies than are wished."""
        if copies < self._replicas:
            text = _(
                "NATS keeps fewer copies of the log ({copies}) than --replicas says ({wanted})."
                " To change that: {command}"
            )
            command = f"nats stream edit {NAME} --replicas {self._replicas}"
            _log.warning("%s", text.format(copies=copies, wanted=self._replicas, command=command))

    async def look(self) -> StreamState:
        """Return what the stream is now. A direct answer of a copy might be an older one."""
        found = await self._connection.api(f"STREAM.INFO.{NAME}", {})
        metadata = found["config"].get("metadata") or {}
        state = found["state"]
        # nats-server before 2.10 keeps no metadata, but the time of creation.
        created = hashlib.sha256(str(found["created"]).encode()).hexdigest()[:32]
        return StreamState(
            str(metadata.get(EPOCH) or created),
            parse_rewinds(metadata.get(REWINDS)),
            int(state["first_seq"]),
            int(state["last_seq"]),
            int(found["config"].get("num_replicas", 1)),
        )

    async def message_id(self, sequence: int) -> str:
        """Return the id of the message with that sequence, empty where there is none."""
        try:
            found = await self._connection.api(f"STREAM.MSG.GET.{NAME}", {"seq": sequence})
        except ApiError as error:
            if error.code != MESSAGE_NOT_FOUND:
                raise
            return ""
        headers = base64.b64decode(found["message"].get("hdrs", "")).decode(errors="replace")
        message_id = ""
        for line in headers.split("\r\n"):
            name, _colon, value = line.partition(":")
            if name.strip() == MESSAGE_ID:
                message_id = value.strip()  # of several the last counts, as where it is followed
        return message_id

    async def note_rewinds(self, rewinds: int) -> None:
        """Write into the stream's description how often it has been put back."""
        found = await self._connection.api(f"STREAM.INFO.{NAME}", {})
        configuration: dict[str, Any] = found["config"]
        metadata = configuration.get("metadata") or {}
        if parse_rewinds(metadata.get(REWINDS)) < rewinds:
            configuration["metadata"] = {**metadata, REWINDS: str(rewinds)}
            await self._connection.api(f"STREAM.UPDATE.{NAME}", configuration)

    def _configuration(self) -> dict[str, Any]:
        window = DUPLICATE_SECONDS
        if self._retain_seconds:
            window = min(window, self._retain_seconds)
        return {
            "name": NAME,
            "subjects": [SUBJECTS],
            "storage": "file",
            "num_replicas": self._replicas,
            "max_age": int(self._retain_seconds * NANOSECONDS),
            "duplicate_window": int(window * NANOSECONDS),
            "deny_delete": True,
            "deny_purge": True,
            "allow_direct": True,
            "metadata": {EPOCH: secrets.token_hex(16)},
        }


def parse_rewinds(text: object) -> int:
    """Return how often a stream was put back, as somebody says it; 0 where that is no number."""
    return (number_of(text, MAX_REWINDS) or 0) if isinstance(text, str) else 0
