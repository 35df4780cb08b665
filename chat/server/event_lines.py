"""What is said on standard error, each event and each trouble in one line: text, or JSON.

With `--verbose` who comes, goes and is refused is told too. Names are as their owners made them up:
bounded and escaped here, and between quotation marks. Tokens and what was said are in no line.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, TextIO, cast
from urllib.parse import unquote

from chat.protocol.limits import MAX_NAME_CHARACTERS
from chat.server.diagnostics import BoundedHandler, OneLine, escaped, token_name
from chat.server.line_writer import LineWriter
from chat.server.visits import Event

# A class that comes in at once is told whole; a flood is counted.
MAX_EVENTS_A_SECOND = 100
MAX_ADDRESS_CHARACTERS = 64

Fields = dict[str, Any]
_events = logging.getLogger("chat.visits")


def tell(event: Event) -> None:
    """Write the line of an event, where `--verbose` asks for it. Blocks for nothing."""
    _events.info("%s", event.what, extra={"event": event})


@contextmanager
def speaking(log_format: str, is_verbose: bool) -> Iterator[None]:
    """Speak so for the length of the block; for the main program, after `diagnostics.start`."""
    formatter = FORMATS[log_format]()
    usual = [each for each in logging.getLogger().handlers if isinstance(each, BoundedHandler)]
    for handler in usual:
        handler.setFormatter(formatter)
    if not is_verbose:
        yield
        return
    # So many lines fill a pipe that nobody reads: then nobody here may wait for it.
    writer = LineWriter(sys.stderr)
    events = BoundedHandler(cast(TextIO, writer), max_lines_a_second=MAX_EVENTS_A_SECOND)
    events.setFormatter(formatter)
    _events.addHandler(events)
    _events.setLevel(logging.INFO)
    _events.propagate = False
    for handler in usual:
        handler.setStream(writer)
    try:
        yield
    finally:
        _events.removeHandler(events)
        _events.setLevel(logging.NOTSET)
        events.close()
        for handler in usual:
            handler.setStream(sys.stderr)
        writer.close()


class TextLine(OneLine):
    """`TIME EVENT field=value …`; of what is no event, the time and what `OneLine` makes of it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event = _event_of(record)
        if event is None:
            return f"{_time_of(record)} {super().format(record)}"
        fields = [f"{key}={_quoted(value)}" for key, value in fields_of(event).items()]
        return " ".join([_time_of(record), event.what, *fields])


class JsonLine(OneLine):
    """One object a line, in ASCII: `time`, `event` and its fields, or `level` and `message`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event = _event_of(record)
        fields: Fields = {"time": _time_of(record)}
        if event is None:
            fields |= {"event": "trouble", "level": record.levelname, "message": self.text(record)}
        else:
            fields |= {"event": event.what, **fields_of(event)}
        return json.dumps(fields)


FORMATS: dict[str, Callable[[], logging.Formatter]] = {"text": TextLine, "json": JsonLine}


def fields_of(event: Event) -> Fields:
    """Return what is told of an event, bounded; in the order in which it is told.

    To be called where it happened: which token opened the server is known to the task.
    """
    fields: Fields = {"address": address_in(event.peer), "name": _cut(event.name)}
    if event.what != "refused":
        fields["client"] = "full" if event.is_full else "plain"
    if name := token_name.get():
        fields["token"] = name
    if event.reason:
        fields["reason"] = event.reason
    if event.traffic is not None:
        fields["seconds"] = round(event.seconds, 3)
        fields["received_messages"] = event.traffic.received_messages
        fields["received_bytes"] = event.traffic.received_bytes
        fields["sent_messages"] = event.traffic.sent_messages
        fields["sent_bytes"] = event.traffic.sent_bytes
    return fields


def address_in(peer: str) -> str:
    """Return the address and port of a peer as gRPC spells it, without its sort (`ipv4:`)."""
    scheme, _colon, rest = peer.partition(":")
    return (unquote(rest) if scheme in ("ipv4", "ipv6") else peer)[:MAX_ADDRESS_CHARACTERS]


def _cut(name: str) -> str:
    return name if len(name) <= MAX_NAME_CHARACTERS else name[:MAX_NAME_CHARACTERS] + "…"


def _quoted(value: object) -> str:
    """Return a value as a line of text has it: a word or number bare, anything else quoted."""
    text = str(value)
    if text and all(c.isascii() and (c.isalnum() or c in ".:[]_-") for c in text):
        return text
    return escaped(json.dumps(text, ensure_ascii=False))


def _event_of(record: logging.LogRecord) -> Event | None:
    event = getattr(record, "event", None)
    return event if isinstance(event, Event) else None


def _time_of(record: logging.LogRecord) -> str:
    """Return when it happened, in UTC, by RFC 3339."""
    moment = datetime.fromtimestamp(record.created, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
