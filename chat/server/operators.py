"""Who the operators are: the names in a file, for those who prove that they are their own.

Knows nothing of what operators may do; `moderation.py` has it.
"""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Mapping
from pathlib import Path

from chat.cli.facts import name_sign
from chat.cli.i18n import _
from chat.cli.system_errors import words_of
from chat.protocol.errors import ChatError, UsageError
from chat.protocol.names import check_name, name_key
from chat.server.hub import Hub
from chat.server.reload import Reloader, Watched

# A comment: the whole line, or what is behind a name. A name may have a # in it; whether `DJ #1` is
# one, or has a comment, cannot be told: and an operator is nobody to guess.
_COMMENT = re.compile(r"^\s*#.*|\s#(\s.*)?$")
_UNCLEAR = " #"
# A larger file is none of names.
MAX_FILE_BYTES = 1 << 20

_log = logging.getLogger(__name__)


class Operators:
    """The operators of a file, if there is one (`path`), read again whenever it changes.

    `can_prove`: whether anybody can prove that a name is its own. Raises `UsageError`.
    """

    def __init__(self, path: str | None, can_prove: bool, reloader: Reloader) -> None:
        self._hub: Hub | None = None
        self._file: Watched[Mapping[str, str]] | None = None
        if path is not None:
            _check_provable(can_prove)
            self._file = Watched(read_operators, path, on_change=self._appoint)
            reloader.add(self._file)

    def appoint(self, hub: Hub) -> None:
        """Let them be the operators on this server from now on."""
        self._hub = hub
        self._appoint(self._file.value if self._file is not None else {})

    def _appoint(self, names: Mapping[str, str]) -> None:
        """Let these, and nobody else, be operators; say who may become one by coming first.

        `names`: as `read_operators` has them.
        """
        if self._hub is None:
            return
        keys = frozenset(names)
        self._hub.moderation.operators = keys
        self._hub.owners.kept = keys  # else the next owner of an old one would be an operator
        _turn_out_former(self._hub)
        for name in names.values():
            if self._hub.owners.find(name) is None:
                text = _(
                    "Nobody owns the name {name} yet, which is an operator's: whoever uses it first"
                    " will be one."
                )
                _log.warning("%s", text.format(name=name_sign(name)))


def _turn_out_former(hub: Hub) -> None:
    """Have those leave closed rooms who are no operators any more, and were not invited."""

    def is_operator(identity: str) -> bool:
        person = hub.directory.of_identity(identity)
        return person is not None and hub.moderation.is_operator(person.name, person.owner)

    for identity, room_key in hub.closed.forget_visitors(is_operator):
        person = hub.directory.of_identity(identity)
        if person is not None and not hub.closed.admits(room_key, person):
            hub.places.turn_out(person, room_key)


def _check_provable(can_prove: bool) -> None:
    if not can_prove:
        raise UsageError(
            _(
                "--operators needs names that belong to somebody. Add --tls (or --tls-cert and"
                " --tls-key), and leave --no-own-names out."
            )
        )


def read_operators(path: str) -> dict[str, str]:
    """Return the names in a file, one a line, by their keys (`name_key`); `#` begins a comment.

    Blocks. Raises `UsageError`, with the number of the line that is no name.
    """
    lines = enumerate(_text_in(path).splitlines(), start=1)
    names = [(number, _COMMENT.sub("", line).strip()) for number, line in lines]
    return {_key_in(path, number, name): name for number, name in names if name}


def _key_in(path: str, number: int, name: str) -> str:
    if _UNCLEAR in name:
        text = _("{path}, line {number}: behind a name, a comment begins with # and a space.")
        raise UsageError(text.format(path=path, number=number))
    try:
        return name_key(check_name(name))
    except ChatError as error:
        reason = str(error)
        sentence = f"{reason[:1].upper()}{reason[1:]}."
        text = _("{path}, line {number}: {sentence}")
        raise UsageError(text.format(path=path, number=number, sentence=sentence)) from error


def _text_in(path: str) -> str:
    """Return a file's text, in UTF-8 or, as PowerShell writes it, in UTF-16; both with marks."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES)
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except (OSError, ValueError) as error:
        is_garbled = isinstance(error, UnicodeError)
        reason = _("it is not text in UTF-8") if is_garbled else words_of(error)
        text = _("{path} cannot be read ({error}). Give the path of a file that can.")
        raise UsageError(text.format(path=path, error=reason)) from error
