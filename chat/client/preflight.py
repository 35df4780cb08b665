"""A first look at a server over TLS: which certificate it shows, before anything is said to it.

Goes by Python's own `ssl`, since gRPC tells nobody which certificate it has seen. Blocks the thread
that calls, a few seconds at most (and as long as the system looks for a name), and can be called
off at any time. Knows no gRPC.
"""

from __future__ import annotations

import errno
import os
import random
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from chat.cli.credentials import is_loopback

# As long as one attempt of gRPC's to connect may take (`connection.OPTIONS`).
LOOK_SECONDS = 8.5
# Of several addresses the next one is tried when this one has not answered for so long (RFC 8305).
NEXT_ADDRESS_SECONDS = 0.25
# How soon it is noticed that the look was called off.
POLL_SECONDS = 0.1
# What gRPC's servers say they speak (RFC 9113, 3.2).
PROTOCOLS = ["h2"]
IN_PROGRESS = (errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", 0))

IsCancelled = Callable[[], bool]


@dataclass(frozen=True)
class Look:
    """What was seen: the server's certificate (DER), and whether it hung up right after that.

    `is_refused`: so does gRPC where it asks for a certificate of the client's own and gets none, or
    one that it does not trust. Only known where an answer was waited for. `peer`: which of the
    addresses of the name it was, as `HOST:PORT`.
    """

    certificate: bytes
    is_refused: bool = False
    peer: str = ""


def look(
    address: str,
    context: ssl.SSLContext,
    is_cancelled: IsCancelled = lambda: False,
    *,
    seconds: float = LOOK_SECONDS,
    wants_answer: bool = False,
) -> Look:
    """Connect to `HOST:PORT`, take the handshake, and hang up. Blocks.

    Raises `ssl.SSLError` where the handshake fails, with what `context` does not trust; `OSError`
    where there is nobody to talk to; `ValueError` for what can be no name of a machine.
    """
    host, _colon, port = address.rpartition(":")
    host = host.strip("[]")
    patience = _Patience(seconds, is_cancelled)
    context.set_alpn_protocols(PROTOCOLS)
    name = host.partition("%")[0]  # without the zone, which is this machine's own matter
    with (
        _connected(host, int(port), patience) as connection,
        context.wrap_socket(
            connection, server_hostname=name, do_handshake_on_connect=False
        ) as secure,
    ):
        connected_to = secure.getpeername()
        _finish(secure, secure.do_handshake, patience)
        certificate = secure.getpeercert(binary_form=True) or b""
        peer = _spelled(connected_to)
        return Look(certificate, wants_answer and _hangs_up(secure, patience), peer)


def _spelled(address: Any) -> str:
    """Return an address of a socket as `HOST:PORT`; one of IPv6 has its zone in it already."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def in_turn(addresses: list[Any], host: str) -> list[Any]:
    """Return the addresses of a name in random order: several machines may be behind it.

    Those of this machine stay as they are.
    """
    return addresses if is_loopback(host) else random.sample(addresses, len(addresses))


def anybody() -> ssl.SSLContext:
    """Return a context that takes any certificate: to look at it, never to talk."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Patience:
    """How long is waited, in all, and whether anybody still wants it."""

    def __init__(self, seconds: float, is_cancelled: IsCancelled) -> None:
        self._deadline = time.monotonic() + seconds
        self._is_cancelled = is_cancelled

    def wait(self, selector: selectors.BaseSelector) -> list[selectors.SelectorKey]:
        """Return what is ready, after a moment at most; raises `TimeoutError` at the end."""
        if self._is_cancelled() or time.monotonic() >= self._deadline:
            raise TimeoutError
        return [key for key, _events in selector.select(POLL_SECONDS)]


@contextmanager
def _connected(host: str, port: int, patience: _Patience) -> Iterator[socket.socket]:
    """Connect to whichever address of `host` answers first, for the length of the block."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = in_turn([(entry[0], entry[4]) for entry in found], host)
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        stack.callback(_close_all, selector)
        winner = _race(addresses, selector, patience)
        selector.unregister(winner)
        with winner:
            yield winner


def _race(
    addresses: list[tuple[int, Any]], selector: selectors.BaseSelector, patience: _Patience
) -> socket.socket:
    """Return the first connection; those that are still tried are left in `selector`.

    Raises the last `OSError` where there is none.
    """
    last, next_at = OSError(errno.EHOSTUNREACH, ""), 0.0
    while addresses or selector.get_map():
        if addresses and (not selector.get_map() or time.monotonic() >= next_at):
            next_at = time.monotonic() + NEXT_ADDRESS_SECONDS
            last = _begin(*addresses.pop(0), selector) or last
            continue
        for key in patience.wait(selector):
            connection: Any = key.fileobj
            if not (problem := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
                return connection  # type: ignore[no-any-return]
            last = OSError(problem, os.strerror(problem))
            selector.unregister(connection)
            connection.close()
            next_at = 0.0
    raise last


def _begin(family: int, address: Any, selector: selectors.BaseSelector) -> OSError | None:
    """Begin to connect; return why that is not possible, if so."""
    try:
        connection = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        return error
    connection.setblocking(False)
    problem = connection.connect_ex(address)
    if problem and problem not in IN_PROGRESS:
        connection.close()
        return OSError(problem, os.strerror(problem))
    selector.register(connection, selectors.EVENT_WRITE)
    return None


def _close_all(selector: selectors.BaseSelector) -> None:
    """Close the connections that came too late."""
    for key in list(selector.get_map().values()):
        connection: Any = key.fileobj
        connection.close()


def _finish(secure: ssl.SSLSocket, step: Callable[[], Any], patience: _Patience) -> Any:
    """Return what `step` does, once the connection has carried all that it takes."""
    while True:
        try:
            return step()
        except ssl.SSLWantReadError:
            wanted = selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            wanted = selectors.EVENT_WRITE
        with selectors.DefaultSelector() as selector:
            selector.register(secure, wanted)
            patience.wait(selector)


def _hangs_up(secure: ssl.SSLSocket, patience: _Patience) -> bool:
    """Say whether the server ends the connection instead of beginning to speak (RFC 9113, 3.4)."""
    with suppress(TimeoutError):
        try:
            return not _finish(secure, lambda: secure.recv(1), patience)
        except (ssl.SSLError, ConnectionError):  # an alert says the same
            return True
    return False
