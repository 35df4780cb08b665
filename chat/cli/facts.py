"""What an operator did, in a sentence: for every screen, the server's own too.

Trusts no server: names and words are cleaned here. Knows no terminal.
"""

from __future__ import annotations

import chat_pb2
from chat.cli.display import isolated, one_line, shown_name
from chat.cli.i18n import N_, _
from chat.protocol.details import until_text
from chat.protocol.kinds import ANNOUNCEMENT, MODERATION

# By the kind: what begins, and what ends it.
SENTENCES = {
    chat_pb2.KIND_REMOVED: (N_("* {user} removed {name}"), N_("* {user} removed {name}")),
    chat_pb2.KIND_BANNED: (
        N_("* {user} banned {name}, {until}"),
        N_("* {user} ended the ban of {name}"),
    ),
    chat_pb2.KIND_MUTED: (
        N_("* {user} muted {name}, {until}"),
        N_("* {user} lets {name} speak again"),
    ),
}


def is_fact(message: chat_pb2.Message) -> bool:
    """Say whether it tells what an operator did or says as one."""
    return message.kind in MODERATION or is_announcement(message)


def is_announcement(message: chat_pb2.Message) -> bool:
    """Say whether it is what an operator says to all rooms."""
    return message.kind == chat_pb2.KIND_NOTICE and message.user == ANNOUNCEMENT


def is_end(message: chat_pb2.Message) -> bool:
    """Say whether a fact ends a ban or a mute: its time is that of 1970 then, and no other past."""
    return message.HasField("sent_at") and message.sent_at.seconds <= 0


def fact_text(message: chat_pb2.Message) -> str:
    """Return the sentence of a fact, on one line."""
    if is_announcement(message):
        text = _("* Announcement from {user}: {text}")
        return text.format(user=name_sign(message.to), text=one_line(message.message))
    begun, ended = SENTENCES[message.kind]
    until = message.sent_at.ToNanoseconds() / 1e9 if message.HasField("sent_at") else None
    text = _(ended if is_end(message) else begun).format(
        user=name_sign(message.user), name=name_sign(message.to), until=until_text(until)
    )
    words = one_line(message.message)
    return f"{text}: {words}" if words else text


def name_sign(name: str) -> str:
    """Return a name as it stands in a sentence: between brackets, so that its end is seen.

    Without them `Bia left. Caio` would be two people. No name has brackets itself.
    """
    return f"[{isolated(shown_name(name))}]"
