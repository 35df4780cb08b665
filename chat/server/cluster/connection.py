"""The connection to NATS, kept for as long as the server runs.

Alone in knowing nats-py, but for `nats_client.py`. Knows no stream. Everything runs in the event
loop. nats-py keeps what is published while there is no connection, and sends it when there is one
again, long after a request has given up: whoever publishes looks at `is_connected` first.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import nats.errors

from chat.cli.credentials import vouched_for
from chat.cli.system_errors import words_of
from chat.server.cluster.nats_client import NatsClient, NoTlsError

# Earlier ones can lose a whole stream when they are killed (nats-server 2.10.20 to 2.10.22).
MIN_VERSION = (2, 10, 23)
CONNECT_SECONDS = 2
RECONNECT_SECONDS = 0.25
# A connection without an answer to so many pings is lost.
PING_SECONDS = 2
MAX_PINGS = 2
PENDING_BYTES = 8 << 20
CLOSE_SECONDS = 0.2
API = "$JS.API."
# Words of nats-server, and of nats-py, for one who may not come in.
REFUSALS = ("authorization", "authentication", "permissions")
# Where a name has several addresses, asyncio puts the errors of all of them into one text.
_ERRNO = re.compile(r"\[Errno (\d+)\]")

_log = logging.getLogger(__name__)


class AwayError(Exception):
    """NATS does not answer, now. What was asked for may have been done or not."""


class ApiError(Exception):
    """JetStream refuses: `code` is its `err_code`, `str()` its words."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code


class RefusedError(Exception):
    """NATS can be reached, and will not do: it refuses who we are, or is too old."""


class Received(Protocol):
    """A message of NATS: where it went, where an answer goes, what it holds, and its headers."""

    subject: str
    reply: str
    data: bytes
    headers: dict[str, str] | None


@dataclass(frozen=True)
class ClusterSettings:
    """Where NATS is, and who we are there.

    `servers`: URLs as nats-py takes them. `replicas`: copies of the stream. `tls_*` and
    `credentials`: paths of files (PEM; what `nsc` writes), None for none. `takes_any_version`:
    whatever nats-server it is.
    """

    servers: tuple[str, ...]
    replicas: int = 1
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    credentials: str | None = None
    takes_any_version: bool = False

    def shown(self) -> str:
        """Return where NATS is, without any secret."""
        return ", ".join(urlsplit(server).netloc.rpartition("@")[2] for server in self.servers)

    @property
    def needs_tls(self) -> bool:
        """Whether all NATS servers have to begin TLS: somebody has asked for it."""
        is_asked = any(urlsplit(server).scheme == "tls" for server in self.servers)
        return is_asked or self.tls_ca is not None or self.tls_cert is not None

    def tls(self) -> ssl.SSLContext:
        """Return how TLS is done, where NATS has it. Raises OSError: a file cannot be used."""
        context = vouched_for(self.tls_ca)
        if self.tls_cert is not None:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        return context


def _answer_in(content: bytes) -> dict[str, Any]:
    """Return JetStream's answer; raises `ApiError`, and `AwayError` where it is somebody else's.

    Whoever may subscribe to a subject can answer.
    """
    try:
        said: dict[str, Any] = json.loads(content)
        found = said.get("error")
        if found is None:
            return said
        refusal = ApiError(int(found.get("err_code", 0)), str(found.get("description", "")))
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise AwayError("this is no answer of JetStream") from error
    raise refusal


def error_in(content: bytes) -> ApiError | None:
    """Return the refusal that is in an answer of JetStream's, None for any other answer."""
    try:
        _answer_in(content)
    except ApiError as refusal:
        return refusal
    except AwayError:
        return None
    return None


class Connection:
    """One connection, made again whenever it is lost. `listeners` hear of either."""

    def __init__(self, settings: ClusterSettings) -> None:
        self._settings = settings
        self._client = NatsClient(settings.needs_tls)
        self._is_begun = False
        self._refusal: asyncio.Future[None] | None = None
        self._on_trouble: Callable[[str], None] = lambda text: None
        self.listeners: list[Callable[[bool], None]] = []

    @property
    def is_connected(self) -> bool:
        """Whether it is there now, as far as is known."""
        return bool(self._client.is_connected)

    @property
    def max_payload(self) -> int:
        """How many bytes one message may have."""
        return int(self._client.max_payload)

    async def open(self, on_trouble: Callable[[str], None]) -> None:
        """Return when NATS is there, however long that takes; `on_trouble` hears what is wrong.

        Raises `RefusedError`, and OSError where the files of TLS cannot be used.
        """
        self._on_trouble = on_trouble
        self._refusal = asyncio.get_running_loop().create_future()
        connecting = asyncio.ensure_future(self._connect())
        try:
            await asyncio.wait({connecting, self._refusal}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                self._refusal.result()
            await connecting
        finally:
            connecting.cancel()
            self._refusal.cancel()
        self._check_version()

    async def _connect(self) -> None:
        async def lost() -> None:
            self._tell(False)

        async def found() -> None:
            self._tell(True)

        settings = self._settings
        tls = settings.tls()
        self._is_begun = True
        await self._client.connect(
            servers=list(settings.servers),
            error_cb=self._see_error,
            disconnected_cb=lost,
            reconnected_cb=found,
            tls=tls,
            user_credentials=settings.credentials,
            name="grpc-chat",
            connect_timeout=CONNECT_SECONDS,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]  # a float will do
            ping_interval=PING_SECONDS,
            max_outstanding_pings=MAX_PINGS,
            pending_size=PENDING_BYTES,
        )

    def _tell(self, is_connected: bool) -> None:
        for listener in self.listeners:
            listener(is_connected)

    async def _see_error(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        _log.info("nats: %s", text)
        if self._refusal is None or self._refusal.done():
            return
        if isinstance(error, NoTlsError) or any(word in text.lower() for word in REFUSALS):
            self._refusal.set_exception(RefusedError(text))
        else:
            self._on_trouble(explain(error))

    def _check_version(self) -> None:
        version = self._client.connected_server_version
        found = (version.major, version.minor, version.patch)
        if found < MIN_VERSION and not self._settings.takes_any_version:
            raise RefusedError("nats-server " + ".".join(map(str, found)))

    async def publish(
        self,
        subject: str,
        content: bytes = b"",
        reply: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Send one message, without knowing whether it arrives. Raises `AwayError`."""
        self._check_connected()
        try:
            await self._client.publish(subject, content, reply, headers)
        except (nats.errors.Error, OSError) as error:
            raise AwayError(explain(error)) from error

    async def api(self, subject: str, request: object, seconds: float = 3.0) -> dict[str, Any]:
        """Return what JetStream answers. Raises `AwayError`, `ApiError`."""
        return await self.request(API + subject, json.dumps(request).encode(), None, seconds)

    async def request(
        self,
        subject: str,
        content: bytes,
        headers: dict[str, str] | None = None,
        seconds: float = 3.0,
    ) -> dict[str, Any]:
        """Return JetStream's answer to a message. Raises `AwayError`, `ApiError`."""
        self._check_connected()
        try:
            answer = await self._client.request(subject, content, timeout=seconds, headers=headers)
        except (nats.errors.Error, OSError, asyncio.TimeoutError) as error:
            raise AwayError(explain(error)) from error
        return _answer_in(answer.data)

    async def subscribe(
        self, take: Callable[[Any], Awaitable[None]]
    ) -> tuple[str, Callable[[], Awaitable[None]]]:
        """Have `take` called with whatever comes to a new subject; return that, and its end.

        One after the other, and all of it, however much waits. Raises `AwayError`.
        """
        self._check_connected()
        subject = self._client.new_inbox()
        try:
            subscription = await self._client.subscribe(
                subject, cb=take, pending_msgs_limit=-1, pending_bytes_limit=-1
            )
        except (nats.errors.Error, OSError) as error:
            raise AwayError(explain(error)) from error

        async def end() -> None:
            with suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()

        return subject, end

    def _check_connected(self) -> None:
        if not self._client.is_connected:
            raise AwayError("there is no connection to NATS")

    async def close(self) -> None:
        """End the connection, whatever still waits."""
        if self._is_begun:
            with suppress(nats.errors.Error, OSError, asyncio.TimeoutError):
                await asyncio.wait_for(self._client.close(), CLOSE_SECONDS)


def explain(error: Exception) -> str:
    """Return in words what went wrong on the way to NATS; empty for mere silence."""
    if isinstance(error, (asyncio.TimeoutError, nats.errors.TimeoutError)):
        return ""
    if isinstance(error, ssl.SSLError):  # its numbers are not the system's
        return str(getattr(error, "verify_message", "") or error.strerror or error)
    number = _ERRNO.search(str(error))
    if isinstance(error, OSError) and error.errno is None and number is not None:
        return words_of(OSError(int(number[1]), str(error)))
    if isinstance(error, OSError):
        return words_of(error)
    return str(error).removeprefix("nats: ") or type(error).__name__
