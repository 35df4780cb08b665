"""What is done before anything is sent: each server is to be one that may be talked to.

Knows no gRPC; runs in the main thread, and blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chat.client.downgrade import check_clear
from chat.client.tls_only import speaks_tls, tls_only
from chat.client.trust import Trust
from chat.client.unreachable import Unreachable

# Shows a text, asks yes or no, and returns the answer; None where nobody can be asked.
Confirm = Callable[[str], bool] | None


# Somebody waits to be asked for a name, which a server that does not answer must not put off.
LOOK_SECONDS = 1.5


def check_servers(
    addresses: Sequence[str],
    trust: Trust | None,
    confirm: Confirm,
    tell: Callable[[str], None],
    *,
    asks_name: bool = False,
) -> None:
    """Let the servers at these addresses (`HOST:PORT`) be talked to, or raise `ConfigError`.

    `trust`: None in the clear. `tell`: shows a sentence. Of several those that are away are left
    for later, as long as one is there. `asks_name`: that comes next, and is in vain where the only
    server does not speak in the clear.
    """
    if trust is None:
        if asks_name and len(addresses) == 1 and speaks_tls(addresses[0], seconds=LOOK_SECONDS):
            raise tls_only(addresses[0])
        for address in addresses:
            check_clear(address, confirm, tell)
        return
    away: list[Unreachable] = []
    # Those that are known come first: whose certificate is the same needs no question.
    for address in sorted(addresses, key=lambda address: not trust.knows(address)):
        try:
            trust.establish(address, confirm)
        except Unreachable as error:
            away.append(error)
    if len(away) == len(addresses):
        raise away[0] if len(away) == 1 else Unreachable("\n".join(map(str, away)))
