"""What a server keeps in the log's file beside the messages: each kind of record, as text (JSON).

Knows no storage; `Log.records` reads all of one kind, `Log.keep` writes one.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from google.protobuf.message import DecodeError

import chat_pb2
from chat.server.plain_json import read_object, record_of

# The kinds.
HOLDER = "holder"
OWNER = "owner"
ROOM = "room"
# A guest of a room that is closed, or was; its key: the room's, a line feed, the guest.
GUEST = "guest"
# When a room that is closed, or was, was last used, where that is later than its own record says.
USED_ROOM = "used room"
# A name, by its key, that `--free` wants to be free: the server takes note of it, and removes it.
FREED = "freed"
# The public keys of an owned name, by its key, and what its owner signed of them; base64.
BUNDLE = "bundle"
BAN = "ban"
MUTE = "mute"
# What each server keeps for itself, where several share a log: it speaks of that server's streams,
# or of its own file.
LOCAL_KINDS = frozenset({HOLDER, FREED})


@dataclass(frozen=True)
class Holder:
    """Who holds a name, over a restart of the server; its key is the session's identity.

    `owner`: as in `Person`. `run`: the run of the server that noted it, as in `Neighbours`.
    """

    name: str
    rooms: tuple[str, ...] = ()
    owner: str = ""
    run: str = ""

    def to_text(self) -> str:
        """Return it as a record, which earlier versions read too where one server is alone."""
        fields = dict(vars(self))
        if not self.run:
            del fields["run"]
        return json.dumps(fields)

    @classmethod
    def from_text(cls, text: str) -> Holder:
        """Read it out of a record; raises `ValueError` where it is none."""
        return record_of(cls, read_object(text))


def packed(message: chat_pb2.Message) -> str:
    """Return a message as a part of what is kept, or told to other servers."""
    return base64.b64encode(message.SerializeToString()).decode()


def unpacked(text: object) -> chat_pb2.Message:
    """Return the message that was packed; raises `ValueError` where there is none."""
    if not isinstance(text, str):
        raise ValueError(text)
    try:
        return chat_pb2.Message.FromString(base64.b64decode(text, validate=True))
    except DecodeError as error:
        raise ValueError(text) from error
