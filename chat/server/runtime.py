"""What the server asks of the machine it runs on: addresses, files, scheduler, event loop.

Knows nothing of the chat. Called in the main thread, before and while the server
starts. Whatever a system does not have is left out, and nothing depends on it.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import socket
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from chat.cli import i18n as language
from chat.cli.i18n import _

# Open files beside one socket for each client: the log, gRPC's own, standard streams.
SPARE_FILES = 100
# Python looks for cycles when there are so many more objects than the last time: it takes 90 ms,
# longer the more they are. One message to ten thousand clients makes 100,000 for a moment; gRPC
# leaves eight for each stream that began.
COLLECT_OBJECTS = 150_000
# And at those that have outlived that, a million and more, after so many times.
COLLECT_OLDER = 20

# An address for documentation (RFC 5737): nobody is there.
ELSEWHERE = ("192.0.2.1", 9)

_log = logging.getLogger(__name__)


def explain_bind_error(
    host: str,
    port: int,
    port_flag: str = "--port",
    host_flag: str = "--host",
    is_shared: bool = False,
) -> str:
    """Say why the server cannot listen there; gRPC itself only says that it cannot.

    `port_flag`, `host_flag`: where another port, or address, is to be given. `is_shared`: the port
    was to be shared with other servers.
    """
    plain_host = host.strip("[]")
    family = socket.AF_INET6 if ":" in plain_host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((plain_host, port))
        reason = errno.EADDRINUSE  # it is free by now, or taken on IPv4 alone
    except OSError as error:
        reason = error.errno or 0
    if reason == errno.EADDRINUSE and is_shared:
        text = _(
            "Port {port} is in use by a program that does not share it with this server: one of"
            " another cluster or user, or one without --share-port. Stop it, or choose {port_flag}."
        )
    elif reason == errno.EADDRINUSE:
        text = _("Port {port} is in use by another program. Stop it, or choose {port_flag}.")
    elif reason == errno.EACCES:
        text = _("Port {port} is kept for the system. Choose one above 1023 with {port_flag}.")
    else:
        text = _("{host} is not an address of this machine. Choose another one with {host_flag}.")
    return text.format(port=port, host=host, port_flag=port_flag, host_flag=host_flag)


def addresses() -> list[str]:
    """Return this machine's IPv4 addresses that others may reach it by.

    All of them where `ifaddr` is installed, else the one that leads to other networks.
    """
    try:
        import ifaddr
    except ImportError:
        found = _address_of_default_route()
    else:
        ips = [ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
        found = [str(ip.ip) for ip in ips if ip.is_IPv4]
    return [ip for ip in found if not ip.startswith(("127.", "169.254."))]


def invitations(port: int, client_flags: str) -> list[str]:
    """Return what to type on another machine, a line for each of this one's addresses.

    `client_flags`: what the client needs beside the address, with a space before it. Who chose
    another language than the usual one for the server, has it for those who come.
    """
    if (spoken := language.current()) != language.DEFAULT_LANGUAGE:
        client_flags += f" --lang {spoken}"
    text = _("From another machine: {command} {address}:{port}")
    command = client_command()
    return [
        text.format(command=command, address=address, port=port) + client_flags
        for address in addresses()
    ]


def client_command() -> str:
    """Return how the client is started where the server was started like this."""
    is_package = Path(sys.argv[0]).stem == "chat-server"
    return "chat-client" if is_package else "python client.py"


def _address_of_default_route() -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(ELSEWHERE)  # sends nothing: it only looks up the route
        return [str(probe.getsockname()[0])]
    return []


def optional_features() -> dict[str, str]:
    """Return what the server can do without: the module of each package, and what it brings."""
    features = {
        "google.rpc": _("detailed refusals"),
        "grpc_health": _("the health service"),
        "grpc_reflection": _("reflection"),
        "ifaddr": _("all of this machine's addresses"),
    }
    if sys.platform != "win32":
        features["uvloop"] = _("the faster event loop")
    return features


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


def use_batch_scheduling() -> None:
    """Ask Linux not to preempt us for each thread that wakes: half the cost of a delivery."""
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def tune_gc() -> None:
    """Let Python look for cycles rarely: what ends here is freed by its last reference.

    Ten thousand clients are a million objects. By default, looking at them all stops the server for
    0.4 to 1.3 s, every few seconds while clients join.
    """
    gc.collect()
    gc.freeze()  # the modules stay: they need not be looked at again
    gc.set_threshold(COLLECT_OBJECTS, COLLECT_OLDER, COLLECT_OLDER)


def run(program: Coroutine[Any, Any, None]) -> None:
    """Run `program` on uvloop where there is one, else on plain asyncio."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(program)
        return
    uvloop.run(program)
