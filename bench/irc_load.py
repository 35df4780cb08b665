"""The load of `load.py`, said in one channel of an IRC server (RFC 1459). `run.py` starts it.

IRC does not send a message back to whoever said it. So each client is answered by the one that came
in after it, and the first by the last: "in flight" is what that one has not heard yet.
"""

from __future__ import annotations

import load
from sockets import Connection

CHANNEL = b"#bench"
JOIN = b"NICK %b\r\nUSER %b 0 * :%b\r\nJOIN " + CHANNEL + b"\r\n"


class IrcWire(Connection):
    """A connection to an IRC server, in the channel."""

    def __init__(self, port: int, name: bytes) -> None:
        super().__init__(port)
        self._rest = b""  # the beginning of a line
        self.send(JOIN % (name, name, name))

    def receive(self) -> bytes:
        """Return the lines that came, if anything was said in them."""
        lines, end, self._rest = (self._rest + super().receive()).rpartition(b"\n")
        if b"ERROR :" in lines:
            self.last_words = ascii(lines[-200:])
        return lines + end if b"PRIVMSG" in lines else b""


class IrcClient(load.Client):
    """A client of an IRC server."""

    def connect(self, plan: load.Plan, tls: object) -> Connection:
        """Return a connection on which the client comes into the channel."""
        return IrcWire(plan.port, self.name)

    def message(self, mark: bytes) -> bytes:
        """Return what is said now, as IRC has it."""
        return b"PRIVMSG %b :%b\r\n" % (CHANNEL, self.text(mark))

    def call_roll(self) -> None:
        """Say something that is not counted; if others hear it, this one is in as well."""
        super().call_roll()
        self.has_heard = True

    def due(self, sent: int) -> int:
        """Return how many messages of others were sent."""
        return sent - self.sent


class IrcCrowd(load.Crowd):
    """Clients in a channel."""

    client_class = IrcClient

    def join(self) -> None:
        """Bring in everybody, and let each answer the one before."""
        super().join()
        for number, client in enumerate(self.clients):
            client.answers = self.clients[number - 1]


if __name__ == "__main__":
    load.main(IrcCrowd)
