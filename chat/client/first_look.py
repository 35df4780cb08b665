"""What is done before anything is sent: each server is to be one that may be talked to.

Knows no gRPC; runs in the main thread, and blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chat.client.downgrade import check_clear
from chat.client.trust import Trust
from chat.client.unreachable import Unreachable

# Shows a text, asks yes or no, and returns the answer; None where nobody can be asked.
Confirm = Callable[[str], bool] | None


def check_servers(
    addresses: Sequence[str], trust: Trust | None, confirm: Confirm, tell: Callable[[str], None]
) -> None:
    """Let the servers at these addresses (`HOST:PORT`) be talked to, or raise `ConfigError`.

    `trust`: None in the clear. `tell`: shows a sentence. Of several those that are away are left
    for later, as long as one is there.
    """
    if trust is None:
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
