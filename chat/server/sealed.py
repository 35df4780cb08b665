"""The keys that owners of names publish, and who may send what is sealed.

The server opens nothing: it has no key for it. Everything runs in the event loop.
"""

from __future__ import annotations

import base64
from contextlib import suppress

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_RAW_NAME_CHARACTERS, MAX_SEALED_BYTES
from chat.protocol.names import name_key
from chat.protocol.sealing import (
    BUNDLE_BYTES,
    Bundle,
    check_bundle,
    is_sealed_size,
    recipient_of,
    split_bundle,
)
from chat.server.encoding import Delivery
from chat.server.log.base import Log
from chat.server.member import Member
from chat.server.ownership import Owners
from chat.server.records import BUNDLE

Message = chat_pb2.Message


class Bundles:
    """The bundle of each owned name whose owner has published one.

    One counts only as long as the name belongs to the key that signed it.
    """

    def __init__(self, log: Log, owners: Owners) -> None:
        self._log = log
        self._owners = owners
        self._by_name: dict[str, bytes] = {}

    async def load(self) -> None:
        """Read what was published, in place of what was known; after the owners."""
        records = await self._log.records(BUNDLE)
        self._by_name.clear()
        for key, text in records.items():
            with suppress(ValueError):  # by the rules of this version it is none
                self.take(key, text)
            # Where names are nobody's own for now, what was published stays for later.
            if self.find(key) is None and not self._owners.ignored:
                self._by_name.pop(key, None)
                self._log.keep(BUNDLE, key, None)

    def take(self, key: str, text: str | None) -> None:
        """Note what a record says of the name under `key`; raises `ValueError` where it is none."""
        self._by_name.pop(key, None)
        if text is not None:
            try:
                self._by_name[key] = split_bundle(base64.b64decode(text)).raw
            except ChatError as error:
                raise ValueError(text) from error

    def find(self, name: str) -> Bundle | None:
        """Return what the present owner of a name has published, None for nothing."""
        raw, owned = self._by_name.get(name_key(name)), self._owners.find(name)
        if raw is None or owned is None:
            return None
        bundle = split_bundle(raw)
        return bundle if owner_of(bundle) == owned.owner else None

    def publish(self, name: str, bundle: Bundle) -> None:
        """Note the bundle of a name's owner."""
        if self._by_name.get(name_key(name)) != bundle.raw:
            self._by_name[name_key(name)] = bundle.raw
            self._log.keep(BUNDLE, name_key(name), base64.b64encode(bundle.raw).decode())

    # What members send.

    def answer(self, member: Member, message: Message) -> None:
        """Take a bundle, or hand one out. Raises REQUEST_INVALID."""
        echo = Message(user=member.name, kind=chat_pb2.KIND_KEY, key=message.key)
        if message.to:
            if message.sealed or len(message.to) > MAX_RAW_NAME_CHARACTERS:
                raise ChatError("REQUEST_INVALID")
            bundle = self.find(message.to)
            echo.user = echo.to = message.to
            echo.sealed = bundle.raw if bundle else b""
        else:
            self._take(member, message.sealed)
        member.queue.put_answer(Delivery([echo]))

    def _take(self, member: Member, raw: bytes) -> None:
        """Publish a member's own bundle; what is not its name's owner's is refused."""
        person = member.person
        if len(raw) != BUNDLE_BYTES or person is None or not person.owns_name:
            raise ChatError("REQUEST_INVALID")
        try:
            is_owners = owner_of(split_bundle(raw)) == person.owner
            bundle = check_bundle(raw, person.name) if is_owners else None
        except ChatError:
            bundle = None
        if bundle is None:
            raise ChatError("REQUEST_INVALID")
        self.publish(person.name, bundle)

    def check_form(self, message: Message) -> bytes:
        """Return what is sealed in a private message, where it may be; cheap.

        Raises MESSAGE_TOO_LONG, REQUEST_INVALID.
        """
        if len(message.sealed) > MAX_SEALED_BYTES:
            raise ChatError("MESSAGE_TOO_LONG")
        is_private = message.to and message.kind == chat_pb2.KIND_UNSPECIFIED
        is_alone = is_private and message.key and not message.message
        if not is_alone or not is_sealed_size(len(message.sealed)):
            raise ChatError("REQUEST_INVALID")
        return message.sealed

    def check_reader(self, member: Member, to: str, sealed: bytes) -> None:
        """See to it that an owner writes, and that who owns `to` has the key it is sealed for.

        Raises REQUEST_INVALID, KEY_UNKNOWN, NAME_UNOWNED.
        """
        if member.person is None or not member.person.owns_name:
            raise ChatError("REQUEST_INVALID")
        is_name = len(to) <= MAX_RAW_NAME_CHARACTERS
        if not is_name or self._owners.find(to) is None:
            raise ChatError("NAME_UNOWNED")
        reader = self.find(to)
        if reader is None or reader.sealing_key != recipient_of(sealed):
            raise ChatError("KEY_UNKNOWN")


def owner_of(bundle: Bundle) -> str:
    """Return the owner whose key signed a bundle, as `ownership.Owned` has it."""
    return base64.urlsafe_b64encode(bundle.signing_key).rstrip(b"=").decode()
