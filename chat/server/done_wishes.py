"""What operators have wished and was done, by the keys of their wishes: each is done once.

Whoever has lost the connection sends a wish again, perhaps to another server, which was told. Runs
in the event loop.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass

import chat_pb2
from chat.server.records import packed, unpacked

# Wishes whose keys are remembered.
MAX_REMEMBERED = 1000


@dataclass(frozen=True)
class DoneWish:
    """A wish that was done. `operator`: who the key belongs to; `echo`: what answers it."""

    operator: str
    echo: chat_pb2.Message

    @property
    def fact(self) -> chat_pb2.Message:
        """What was done, as anybody may know it."""
        fact = chat_pb2.Message()
        fact.CopyFrom(self.echo)
        fact.key = ""
        return fact

    def to_text(self) -> str:
        """Return it as other servers are told of it."""
        return json.dumps({"operator": self.operator, "echo": packed(self.echo)})

    @classmethod
    def from_fields(cls, fields: dict[str, object]) -> DoneWish:
        """Read it out of what another server tells; raises `ValueError` where it is none."""
        operator = fields.get("operator")
        if not isinstance(operator, str):
            raise ValueError("no wish")
        return cls(operator, unpacked(fields.get("echo")))


class DoneWishes:
    """The last of them; the oldest go first."""

    def __init__(self) -> None:
        self._echoes: OrderedDict[tuple[str, str], chat_pb2.Message] = OrderedDict()

    def note(self, done: DoneWish) -> None:
        """Note what was done; one without a key cannot be sent again."""
        if done.echo.key:
            self._echoes[done.operator, done.echo.key] = done.echo
            if len(self._echoes) > MAX_REMEMBERED:
                self._echoes.popitem(last=False)

    def find(self, operator: str, key: str) -> chat_pb2.Message | None:
        """Return what answers a wish that was done, None for a new one."""
        return self._echoes.get((operator, key)) if key else None
