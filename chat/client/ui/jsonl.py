"""The terminal of programs: JSON Lines, one object for each message, both ways."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format

from chat.cli.i18n import _
from chat.client.ui.base import TerminalController
from chat.client.ui.plain import PlainTerminal
from chat.client.ui.render import RenderedMessage
from chat.protocol.errors import ChatError
from chat.protocol.kinds import READINGS
from chat_pb2 import Kind, Message


class JsonTerminal(PlainTerminal):
    """One JSON object a line, both ways, with every field of `Message`.

    `listen_only`, `send_only`, and who calls what in which thread: as `PlainTerminal` has it.
    """

    def __init__(self, *, listen_only: bool = False, send_only: bool = False) -> None:
        super().__init__(listen_only=listen_only, send_only=send_only)
        self.is_interactive = self.has_typed_lines = self._is_screen = False

    def _hand_over(self, controller: TerminalController, line: str) -> bool:
        if not line.strip():
            return True
        try:
            return controller.handle_message(message_of(line))
        except json_format.ParseError:
            controller.report_unsent(line, _("it is not a valid JSON message"))
        except ChatError as error:
            controller.report_unsent(line, str(error))
        return True

    def _text_of(self, message: Message, _rendered: RenderedMessage) -> str:
        """Return a message as it came, uncleaned: ASCII with escapes cannot deceive a screen."""
        return json_of(message)


def message_of(line: str) -> Message:
    """Return the message that a line of JSON is; raises `json_format.ParseError`.

    Whether it is sealed is not for it to say.
    """
    try:
        fields = json.loads(line, object_hook=_without_seal)
        return json_format.Parse(json.dumps(fields), Message())
    except (RecursionError, ValueError) as error:
        raise json_format.ParseError(str(error)) from error


def _without_seal(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "sealed"}


def json_of(message: Message) -> str:
    """Return a message as one line of JSON (ASCII) with every field; `sent_at` may be null.

    In the form of ProtoJSON, but that `id` is a number, and `sealed` true or false: what came
    sealed is in `message`, opened; nothing is there where it could not be. `batch` is there in the
    answer to HISTORY or SEARCH.
    """
    return json.dumps(fields_of(message))


def fields_of(message: Message) -> dict[str, Any]:
    """Return the fields of a message, as JSON has them."""
    sent_at = message.sent_at.ToJsonString() if message.HasField("sent_at") else None
    fields: dict[str, Any] = {
        "user": message.user,
        "message": message.message,
        "id": message.id,
        "sent_at": sent_at,
        "kind": kind_name(message.kind),
        "key": message.key,
        "to": message.to,
        "room": message.room,
        "sealed": bool(message.sealed),
    }
    if message.kind in READINGS:
        fields["batch"] = [fields_of(earlier) for earlier in message.batch if not earlier.batch]
    return fields


def kind_name(kind: int) -> str | int:
    """Return the name of a kind; of one that only later versions know, the number."""
    value = Kind.DESCRIPTOR.values_by_number.get(kind)
    return kind if value is None else str(value.name)
