"""What the server asks of the machine it runs on: addresses, open files, scheduler, event loop.

Knows nothing of the chat. Whatever a system does not have is left out, and nothing depends on it.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import ifaddr

from chat.cli.i18n import _

# Open files beside one socket for each client: the log, gRPC's own, standard streams.
SPARE_FILES = 100
# Wake-ups of the event loop that are taken at once.
MAX_WAKES = 4096
# Python looks for cycles when there are so many more objects than the last time. One message to
# ten thousand clients makes 100,000 for a moment; gRPC leaves five for each stream that began.
COLLECT_OBJECTS = 300_000

_log = logging.getLogger(__name__)


def why_not(host: str, port: int) -> str:
    """Say why the server cannot listen there; gRPC itself only says that it cannot."""
    plain_host = host.strip("[]")
    family = socket.AF_INET6 if ":" in plain_host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((plain_host, port))
        reason = errno.EADDRINUSE  # it is free by now, or taken on IPv4 alone
    except OSError as error:
        reason = error.errno or 0
    if reason == errno.EADDRINUSE:
        text = _("Port {port} is in use: another server runs there. Stop it, or choose --port.")
    elif reason == errno.EACCES:
        text = _("Port {port} is kept for the system. Choose one above 1023 with --port.")
    else:
        text = _("{host} is no address of this machine. Choose another one with --host.")
    return text.format(port=port, host=host)


def addresses() -> list[str]:
    """Return this machine's IPv4 addresses that others may reach it by."""
    found = [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    return [ip for ip in found if not ip.startswith(("127.", "169.254."))]


def raise_file_limit(clients: int) -> None:
    """Let the process have a socket for each client, as far as the system allows it."""
    try:
        import resource  # not on Windows, which has no such limit
    except ImportError:
        return
    wanted = clients + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        if limit < wanted:
            text = _(
                "The system allows {limit} open files, too few for {clients} clients."
                " Raise it (ulimit -n) or lower --max-clients."
            )
            _log.warning(text.format(limit=limit, clients=clients))


def be_scheduled_in_batches() -> None:
    """Ask Linux not to preempt us for each thread that wakes: half the cost of a delivery."""
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def collect_rarely() -> None:
    """Let Python look for cycles rarely: what ends here is freed by its last reference.

    Ten thousand clients are a million objects. By default, looking at them all stops the server for
    0.4 to 1.3 s, every few seconds while clients join.
    """
    gc.collect()
    gc.freeze()  # the modules stay: they need not be looked at again
    gc.set_threshold(COLLECT_OBJECTS, 10, 10)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on Ctrl-C and SIGTERM, or what the system has of them."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))


def run(program: Coroutine[Any, Any, None]) -> None:
    """Run `program` on uvloop where there is one, else on plain asyncio."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(program)
        return

    class Loop(uvloop.Loop):
        """Wakes once for all that gRPC has finished; see `take_wakes`."""

        def add_reader(  # type: ignore[override]  # its variadic type says no more
            self, fd: Any, callback: Callable[..., Any], *args: Any
        ) -> None:
            if isinstance(fd, socket.socket) and fd.family == socket.AF_UNIX:
                super().add_reader(fd, take_wakes, fd, callback, *args)
            else:
                super().add_reader(fd, callback, *args)

    uvloop.run(program, loop_factory=Loop)


def take_wakes(wakes: socket.socket, callback: Callable[..., Any], *arguments: Any) -> None:
    """Call gRPC's `callback` once for all the bytes in `wakes`, leaving it the one that it reads.

    gRPC writes a byte for each operation that is finished, and its callback reads one byte and sees
    to all operations: under load every other byte would wake the loop for nothing. Saves two of
    four system calls for each write. Bytes are taken before the callback looks: none is missed.
    """
    with suppress(BlockingIOError):
        count = len(wakes.recv(MAX_WAKES, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        if count > 1:
            wakes.recv(count - 1)
        callback(*arguments)
