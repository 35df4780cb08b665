"""What is remembered of a conversation, as the settings say, and how all of it is forgotten.

In the main thread, before the conversation, or instead of one.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from chat.cli.folders import state_folder
from chat.cli.i18n import _
from chat.cli.system_errors import words_of
from chat.client import left_off, typed_lines
from chat.client.identity import Identity
from chat.client.memory import Memory
from chat.client.settings import use_of
from chat.client.transcript import Transcript
from chat.client.ui.base import Terminal
from chat.protocol.errors import UsageError


def remember(
    settings: Namespace, address: str, name: str, terminal: Terminal, identity: Identity
) -> Memory:
    """Return what is remembered of a conversation, as the settings say.

    Raises `UsageError`, where the transcript cannot be written.
    """
    folder = state_folder()
    return Memory(
        address,
        name,
        None if settings.private else folder,
        transcript=Transcript(Path(settings.transcript), folder) if settings.transcript else None,
        has_history=settings.history is not None,
        is_person=terminal.is_interactive and use_of(settings).has_reader,
        identity=identity,
    )


def forget_all(address: str, name: str | None) -> str:
    """Forget all that is remembered of a server; return what to say of it. Raises `UsageError`.

    `name`: of that one alone; None: of everybody who uses this folder.
    """
    folder = state_folder()
    try:
        is_known = folder is not None and left_off.forget(folder, address, name)
        is_known |= folder is not None and typed_lines.forget(folder, address, name)
    except OSError as error:
        text = _("What is remembered of {address} cannot be removed ({error}).")
        raise UsageError(text.format(address=address, error=words_of(error))) from error
    if not is_known:
        return _("Nothing was remembered of {address}.").format(address=address)
    text = _("Where you left off on {address}, what you typed there and the draft are forgotten.")
    return text.format(address=address)
