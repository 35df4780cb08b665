"""What a message looks like: cleaned of everything that could deceive, and cut into styled pieces.

Knows no terminal and no network. Trusts no server: names and texts are cleaned once more here, and
a name stands between brackets that it cannot itself contain, so that nobody can be shown saying
what they did not say. The terminals call it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache

import chat_pb2
from chat.cli.display import clean as clean
from chat.cli.display import isolated as isolated
from chat.cli.display import one_line as one_line
from chat.cli.display import shown_name as shown_name
from chat.cli.facts import fact_text, is_fact
from chat.cli.facts import name_sign as name_sign
from chat.cli.i18n import N_, _
from chat.cli.wrap import Fragment as Fragment
from chat.cli.wrap import rows_of
from chat.client import commands
from chat.client.ui.colours import colours
from chat.protocol.details import until_text
from chat.protocol.errors import explain
from chat.protocol.names import name_key

Kind = chat_pb2.Kind

# Instead of a line feed, where one message must be one line.
LINE_FEED_SIGN = " \N{RETURN SYMBOL} "
WEEKDAYS = (
    N_("Monday"),
    N_("Tuesday"),
    N_("Wednesday"),
    N_("Thursday"),
    N_("Friday"),
    N_("Saturday"),
    N_("Sunday"),
)


@dataclass(frozen=True)
class RenderedMessage:
    """How one entry of the conversation is shown: `lead` says whose it is, `body` what is said.

    `when`: local time, None for what has none. Later lines of the body are indented.
    """

    lead: list[Fragment] = field(default_factory=list)
    body: list[Fragment] = field(default_factory=list)
    when: datetime | None = None

    def rows(self, columns: int | None) -> str:
        """Return the bare text, without time and style, in rows that fit, see `wrap.rows_of`."""
        lead = "".join(text for _style, text in self.lead)
        return rows_of(lead, "".join(text for _style, text in self.body), columns)

    @property
    def line(self) -> str:
        """The bare text on one line."""
        return "".join(text for _style, text in [*self.lead, *self.body]).replace(
            "\n", LINE_FEED_SIGN
        )


def room_title(room: str) -> str:
    """Return a room as it is shown."""
    return "#" + shown_name(room) if room else _("common room")


def room_sign(room: str) -> str:
    """Return a room as it stands before what was said there: `/sala` takes it so."""
    return isolated("#" + (shown_name(room) if room else _("common")))


def in_room(rendered: RenderedMessage, room: str) -> RenderedMessage:
    """Return a message with the room before it."""
    return replace(rendered, lead=[("class:room", room_sign(room) + " "), *rendered.lead])


# Rendering.


def render_message(
    message: chat_pb2.Message, own_name: str = "", seal: str = ""
) -> RenderedMessage | None:
    """Return how `message` is shown, None for what has no line of its own.

    `seal`: how a private one came, if anything is to be said of that.
    """
    if message.kind == Kind.KIND_UNSPECIFIED:
        return _said(message, own_name, seal)
    if message.kind == Kind.KIND_ACTION:
        return _done(message, own_name)
    text = _event(message) or _door(message, own_name)
    if text is None:
        return None
    is_notice = message.kind == Kind.KIND_NOTICE
    return RenderedMessage(
        body=[("class:notice" if is_notice else "class:event", text)], when=now()
    )


def _said(message: chat_pb2.Message, own_name: str, seal: str) -> RenderedMessage:
    user = shown_name(message.user)
    style = "class:private" if message.to else ""
    lead = [(style, "["), (name_style(user), isolated(user))]
    if message.to:
        to = shown_name(message.to)
        arrow = (style, " \N{RIGHTWARDS ARROW} ")
        lead += [arrow, (name_style(to), isolated(to)), (style, ", " + _("private"))]
        lead += [(style, ", " + seal)] if seal else []
    lead.append((style, "]: "))
    return RenderedMessage(lead, _body(message, own_name, style), time_of(message))


def _done(message: chat_pb2.Message, own_name: str) -> RenderedMessage:
    """Between stars, as plain clients get it: behind one it would look like what happens."""
    user = shown_name(message.user)
    lead = [("", "["), (name_style(user), isolated(user)), ("", "] ")]
    body = [("", "*"), *_body(message, own_name, ""), ("", "*")]
    return RenderedMessage(lead, body, time_of(message))


def _body(message: chat_pb2.Message, own_name: str, style: str) -> list[Fragment]:
    is_own = own_name and name_key(own_name) == name_key(message.user)
    return highlighted(clean(message.message), "" if is_own else own_name, style)


def _event(message: chat_pb2.Message) -> str | None:
    user = name_sign(message.user)
    if message.kind == Kind.KIND_JOINED:
        text = _("* {user} joined {room}") if message.room else _("* {user} joined")
        return text.format(user=user, room=room_sign(message.room))
    if message.kind == Kind.KIND_LEFT:
        text = _("* {user} left {room}") if message.room else _("* {user} left")
        return text.format(user=user, room=room_sign(message.room))
    if message.kind == Kind.KIND_RENAMED:
        return _("* {user} is now {name}").format(user=user, name=name_sign(message.message))
    if is_fact(message):
        return fact_text(message)
    if message.kind == Kind.KIND_NOTICE:
        return _("* server: {reason}").format(reason=notice_reason(message))
    return None


def _door(message: chat_pb2.Message, own_name: str) -> str | None:
    """Return what happens to the door of a room, and how to go through it."""
    user, room = name_sign(message.user), room_sign(message.room)
    if message.kind == Kind.KIND_CLOSED:
        return _("* {user} closed the room: only those invited can enter it now").format(user=user)
    if message.kind == Kind.KIND_OPENED:
        return _("* {user} opened the room to everybody").format(user=user)
    if is_invitation_of(message, own_name):
        usage = f"{commands.MOVE.typed} {isolated(shown_name(message.room))}"
        text = _("* {user} invites you to {room}: {usage}")
        return text.format(user=user, room=room, usage=usage)
    if message.kind == Kind.KIND_INVITED:
        text = _("* {user} invites {name} to {room}")
        return text.format(user=user, name=name_sign(message.to), room=room)
    return None


def is_invitation_of(message: chat_pb2.Message, own_name: str) -> bool:
    """Say whether a message invites the user."""
    is_invitation = message.kind == Kind.KIND_INVITED
    return is_invitation and name_key(message.to) == name_key(own_name)


def notice_reason(message: chat_pb2.Message) -> str:
    """Return why something is refused, or what is told, by a NOTICE; never empty."""
    reason = explain(message.user, one_line(message.message))
    if message.user == "MUTED" and message.HasField("sent_at"):
        reason += f" ({until_text(message.sent_at.ToNanoseconds() / 1e9)})"
    return reason if reason.strip() else _("the server refuses, and does not say why")


def local_notice(text: str, style: str = "class:local") -> RenderedMessage:
    """Return a line of the program's own; `text` comes from no server uncleaned."""
    return RenderedMessage(body=[(style, text)], when=now())


def name_style(name: str) -> str:
    """Return the style of a name: its colour, which nobody else who is here has."""
    return colours.style(name)


@lru_cache(maxsize=64)
def _mention_of(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)@?{re.escape(name)}(?!\w)", re.IGNORECASE)


def mentions(text: str, name: str) -> bool:
    """Say whether `text` speaks to `name`."""
    return bool(name) and _mention_of(name).search(text) is not None


def highlighted(text: str, name: str, style: str) -> list[Fragment]:
    """Return `text` in `style`, with every mention of `name` marked."""
    if not mentions(text, name):
        return [(style, text)]
    fragments: list[Fragment] = []
    end = 0
    for found in _mention_of(name).finditer(text):
        fragments += [(style, text[end : found.start()]), ("class:mention", found[0])]
        end = found.end()
    return [*fragments, (style, text[end:])]


# Time.


def now() -> datetime:
    """Return the present local time."""
    return datetime.now().astimezone()


def time_of(message: chat_pb2.Message) -> datetime:
    """Return when a message was said, in local time; now, where it does not say so."""
    if not message.HasField("sent_at"):
        return now()
    try:
        seconds = message.sent_at.seconds + message.sent_at.nanos / 1e9
        return datetime.fromtimestamp(seconds).astimezone()
    except (OverflowError, OSError, ValueError):
        return now()


def day_of(when: datetime) -> str:
    """Return the day as it is written between two days of a conversation."""
    return f"{_(WEEKDAYS[when.weekday()])}, {when.strftime(_('%Y-%m-%d'))}"
