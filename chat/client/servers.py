"""The servers of one chat: which of them is tried now, and how soon the next one.

They share a log, so that whoever loses one goes on at another. Knows no gRPC and nobody's messages;
belongs to the thread that iterates the session.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from chat.cli.i18n import _
from chat.client.backoff import Backoff
from chat.client.connection import Connection
from chat.client.unreachable import Unreachable
from chat.protocol.errors import ChatError, ConfigError

Refusal = ChatError | ConfigError

# The clients of a server that is lost come to each of the others within so long, one by one: none
# of them has to wait for long, and no server has all of them at its door at once.
HOP_SECONDS = 1.0
# A server that may be cut off is not waited for as long as one that is the only hope.
QUICK_SECONDS = 4.0
# Refusals for good that are one server's own: another one may know better.
OWN_REASONS = ("NOT_A_CHAT", "REQUEST_INVALID", "TOKEN_MISSING", "TOKEN_INVALID", "PROOF_INVALID")


class OtherChat(ConfigError):
    """A server has another log than those where one has been: nothing can be resumed there."""

    def __init__(self, address: str) -> None:
        text = _("{address} belongs to another chat than the server before: it has another log.")
        super().__init__(text.format(address=address))


class Servers:
    """The `connections` to the servers of one chat, in random order: people spread over them.

    A round tries each of them once, one soon after the other; rounds are apart as `Backoff` has it.
    One that is refused for good is set aside. A chat is its log: a server that has another one is
    set aside too, unless it had the chat's before, which then began anew.
    """

    def __init__(self, connections: Sequence[Connection]) -> None:
        self.addresses = tuple(connection.address for connection in connections)
        self._usable = random.sample(connections, len(connections))
        self.present = self._usable[0]
        self._untried = self._usable[1:]  # in this round
        self._is_first_round = True  # since a server has answered
        self._is_met = False  # the present one has answered
        self._backoff = Backoff()
        self._failures: dict[str, Refusal] = {}  # by address
        self._epoch = ""  # of the chat
        self._members: set[str] = set()  # the addresses where that was seen
        self._others: list[Connection] = []  # set aside, since they have another

    @property
    def are_several(self) -> bool:
        return len(self.addresses) > 1

    @property
    def patience_seconds(self) -> float | None:
        """How long the present one may take until it answers; None: as long as ever."""
        return QUICK_SECONDS if self._is_first_round and self._untried else None

    # What became of the present one.

    def is_other_chat(self, epoch: str) -> bool:
        """Say whether a server with this epoch, empty for a plain one, has another chat's log."""
        is_member = self.present.address in self._members
        return bool(self._epoch) and epoch != self._epoch and not is_member

    def meet(self, epoch: str) -> None:
        """Note that the present one has answered, with the epoch of its log."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._members.clear()
            self._usable += self._others
            self._others = []
        self._members.add(self.present.address)
        self.note_answer()

    def note_answer(self) -> None:
        """Note that the present one is well: what comes after its loss begins anew."""
        if self._is_met:
            return
        self._is_met = self._is_first_round = True
        self._failures.clear()
        self._backoff.reset()
        self._untried = []
        if len(self._usable) > 1:
            self._begin_round()

    def stay(self) -> None:
        """Go nowhere else from now on: the present one is a plain server, which shares nothing."""
        self._usable, self._untried = [self.present], []

    def fail(self, refusal: Refusal, *, is_final: bool, is_awaited: bool) -> None:
        """Note why the present one cannot be used; where that ends the session, raise it.

        `is_final`: it is set aside. `is_awaited`: the session begins only if one can be used in the
        first round. Where several have failed, it is raised what became of each.
        """
        self._failures[self.present.address] = refusal
        if is_final:
            self._usable.remove(self.present)
            if isinstance(refusal, OtherChat):
                self._others.append(self.present)
        if not self._usable or (is_awaited and not self._untried):
            raise self._verdict(refusal)

    def _verdict(self, last: Refusal) -> Refusal:
        failures = list(self._failures.values())
        reasons = {f.reason if isinstance(f, ChatError) else "" for f in failures}
        if len(failures) == 1 or (len(reasons) == 1 and "" not in reasons):
            return last
        lines = [_("None of the servers can be used:")]
        for address, failure in self._failures.items():
            text = str(failure)
            lines.append("  " + (text if address in text else f"{address}: {text}"))
        return Unreachable("\n".join(lines))

    # The next one.

    def go_on(self) -> float:
        """Turn to the next server; return the seconds to wait before it is tried."""
        self._is_met = False
        if self._untried:
            self.present = self._untried.pop(0)
            return random.uniform(0, HOP_SECONDS)  # noqa: S311  # no secret
        self._is_first_round = False
        self._begin_round()
        self.present = self._untried.pop(0)
        return self._backoff.next()

    def try_again(self) -> float:
        """Stay at the present server; return the seconds to wait before it is tried again."""
        self._is_met = False
        return self._backoff.next()

    def _begin_round(self) -> None:
        """Try the others first: the present one comes last."""
        others = [server for server in self._usable if server is not self.present]
        own = [self.present] if self.present in self._usable else []
        self._untried = random.sample(others, len(others)) + own
