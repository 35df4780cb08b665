"""The server's flags, each with its environment variable."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from urllib.parse import urlsplit

from chat.cli import flags
from chat.cli.i18n import N_, _
from chat.protocol.errors import UsageError
from chat.protocol.limits import DEFAULT_PORT

DEFAULT_DB = "chat.db"
MAX_RETAIN_DAYS = 36_500  # a hundred years
MAX_CLIENTS = 1_000_000  # more open files than any system allows
# Messages a second; beyond these a pause, or a burst, is no number to reckon with.
MIN_RATE, MAX_RATE = 0.01, 1_000_000
MAX_REPLICAS = 5  # what NATS itself allows
NATS_SCHEMES = ("nats://", "tls://")
LOG_FORMATS = ("text", "json")
ANY_HOST = ("[::]", "::", "0.0.0.0")  # noqa: S104  # others are to reach it


def owns_names(wish: bool | None, has_tls: bool) -> bool:
    """Say whether names belong to somebody; raises `UsageError` where they cannot.

    Without TLS nothing keeps a proof from those on its way who listen, or answer in our place.
    """
    if wish and not has_tls:
        raise UsageError(_("--own-names needs TLS: give --tls too."))
    return has_tls if wish is None else wish


def read_flags(arguments: Sequence[str]) -> Namespace:
    """Return the server's settings, from the command line, the environment and the defaults."""
    parser = flags.Parser(
        arguments, N_("A chat server: everybody hears what anybody says."), "server"
    )
    add = parser.flag
    add("--host", type=flags.text, default="[::]", help=_("address to listen on"))
    add("--port", type=flags.port, default=DEFAULT_PORT, help=_("port to listen on; 0: a free one"))
    add("--db", default=DEFAULT_DB, help=_("file of the log; :memory: keeps it only while running"))
    retain = flags.between(0, MAX_RETAIN_DAYS, float)
    add("--retain", type=retain, default=0, help=_("days to keep; 0: for ever"))
    clients = flags.between(1, MAX_CLIENTS)
    add("--max-clients", type=clients, default=10_000, help=_("most clients at a time"))
    add(
        "--max-per-address",
        type=flags.between(0, MAX_CLIENTS),
        default=0,
        help=_(
            "most clients from one address; 0: a tenth of all, at least 50, and no limit for this"
            " machine"
        ),
    )
    add(
        "--rate",
        type=flags.between(MIN_RATE, MAX_RATE, float, has_zero=True),
        default=100,
        help=_("messages a second from each client, bursts of ten times that; 0: no limit"),
    )
    add("--backup", help=_("copy the log into this new file and end; a server may be running"))
    add("--check", action="store_true", default=False, help=_("look for damage in the log and end"))
    add("--names", action="store_true", default=False, help=_("list the owned names and end"))
    add("--free", metavar="NAME", type=flags.text, help=_("let an owned name be free and end"))
    add(
        "--announce",
        metavar="NAME",
        type=flags.text,
        help=_("tell the local network of this server, under this name"),
    )
    add(
        "--metrics-port",
        type=flags.host_port,
        metavar="[HOST:]PORT",
        help=_("port for metrics (Prometheus); without HOST for this machine alone; 0: a free one"),
    )
    add("--quiet", action="store_true", default=False, help=_("do not show the conversation"))
    add(
        "--verbose",
        action="store_true",
        default=False,
        help=_("a line on standard error for who comes, goes or is refused"),
    )
    add(
        "--log-format",
        choices=LOG_FORMATS,
        default=LOG_FORMATS[0],
        help=_("form of the lines on standard error"),
    )
    add(
        "--cluster",
        type=_nats_urls,
        help=_("NATS servers (nats://HOST:4222[,…]): share the log with all servers there"),
    )
    add(
        "--share-port",
        action="store_true",
        default=False,
        help=_("let other servers of the cluster on this machine listen on the same port (Linux)"),
    )
    replicas = flags.between(1, MAX_REPLICAS)
    add("--replicas", type=replicas, default=1, help=_("copies of the cluster's log in NATS"))
    add("--cluster-ca", help=_("authority that NATS's certificate must be from (PEM)"))
    add("--cluster-cert", help=_("certificate to show to NATS (PEM)"))
    add("--cluster-key", help=_("private key of that certificate (PEM)"))
    add("--cluster-creds", help=_("file with the credentials for NATS, as nsc writes it"))
    add(
        "--cluster-any-nats",
        action="store_true",
        default=False,
        help=_("take a nats-server before 2.10.23 too, which may lose the log"),
    )
    add(
        "--tls",
        action="store_true",
        default=False,
        help=_("encrypt, with a certificate that is made once, beside the log"),
    )
    add("--tls-cert", help=_("certificate chain (PEM) to encrypt with, instead of a self-made one"))
    add("--tls-key", help=_("private key of the certificate (PEM)"))
    add(
        "--tls-client-ca",
        help=_(
            "authorities (PEM), one of which signs each client's certificate; its name is the"
            " user's"
        ),
    )
    add(
        "--own-names",
        action=flags.OnOff,
        default=None,
        help=_("a name belongs to whoever uses it first; usual with TLS, and needs it"),
    )
    add(
        "--token-file",
        help=_(
            "file with the tokens that open the server, as NAME:TOKEN lines (or one in CHAT_TOKEN)"
        ),
    )
    add("--operators", help=_("file with the names of operators, one a line; they need --tls"))
    add("--audit", help=_("file that gets a line of JSON for each thing that an operator does"))
    return parser.read()


def _nats_urls(value: str) -> str:
    """Return the URLs of NATS servers, with commas between them; an argument type."""
    urls = [url.strip() for url in flags.text(value).split(",")]
    if not all(url.startswith(NATS_SCHEMES) and _has_address(url) for url in urls):
        raise ArgumentTypeError(_("nats://HOST:PORT or tls://HOST:PORT is expected"))
    return ",".join(urls)


def _has_address(url: str) -> bool:
    """Say whether a host is in it, and a port that can be one, or none."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
