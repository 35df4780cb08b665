"""What is done with owned names beside serving: --names and --free.

Called in the main thread, also while a server has the log open; return the exit code.
"""

from __future__ import annotations

import sys
import time
import unicodedata
from contextlib import suppress

from chat.cli.display import one_line, shown_name
from chat.cli.i18n import _, _n
from chat.protocol.names import name_key
from chat.protocol.sealing import fingerprint_of
from chat.server.log import maintenance
from chat.server.log.base import LogError
from chat.server.log_sentences import explain_log_error
from chat.server.mail import WAIT_SECONDS
from chat.server.ownership import CERTIFIED, UNUSED_SECONDS, Owned
from chat.server.records import FREED, HOLDER, OWNER, Holder


def list_names(path: str) -> int:
    """Print whose names the log in `path` knows; 0, or 1 with a sentence why not."""
    try:
        names = _owned_in(path)
        since = int((time.time() - WAIT_SECONDS) * 1e6)
        places = [(owned.inbox, owned.inbox_seen_id) for owned in names]
        waiting = maintenance.count_after(path, places, since)
    except LogError as error:
        print(explain_log_error(error), file=sys.stderr)
        return 1
    for owned, count in zip(names, waiting, strict=True):
        print(_line(owned, count))
    if not names:
        print(_("No name belongs to anybody in {path}.").format(path=path))
    return 0


def _line(owned: Owned, count: int) -> str:
    when = time.strftime(_("%Y-%m-%d"), time.localtime(owned.used_at))
    waiting = _n("{} message waits", "{} messages wait", count).format(count)
    if not count:
        waiting = _("no message waits")
    if owned.owner == CERTIFIED:
        text = _("[{name}]  by certificate, last used {when}, {waiting}")
    else:
        text = _("[{name}]  key {key}, last used {when}, {waiting}")
    name, key = shown_name(owned.name), one_line(fingerprint_of(owned.owner))
    return text.format(name=name, key=key, when=when, waiting=waiting)


def free(path: str, name: str) -> int:
    """Let a name be nobody's in the log in `path`; 0, or 1 with a sentence why not.

    It is written down there: the server takes note of it, in a moment if it runs.
    """
    try:
        owned = next((o for o in _owned_in(path) if name_key(o.name) == name_key(name)), None)
        if owned is None:
            text = _("{name} belongs to nobody: see whose names there are with --names.")
            print(text.format(name=f"[{shown_name(name)}]"), file=sys.stderr)
            return 1
        is_in_use = _is_in_use(path, owned)
        maintenance.keep_record(path, FREED, name_key(owned.name), "{}")
    except LogError as error:
        print(explain_log_error(error), file=sys.stderr)
        return 1
    text = _(
        "{name} is free, within a few seconds if the server is running. Whoever uses it next owns"
        " it; what was waiting for the last owner is delivered to nobody."
    )
    print(text.format(name=f"[{shown_name(owned.name)}]"))
    if is_in_use:
        print(
            _(
                "Whoever is there under it now, or was a moment ago, has it until they leave, and"
                " owns it again if they are the next to come."
            )
        )
    return 0


def _is_in_use(path: str, owned: Owned) -> bool:
    """Say whether its owner is there now, or is expected back, as far as the log knows."""
    for text in maintenance.records(path, HOLDER).values():
        with suppress(ValueError):  # by the rules of this version it is no record
            holder = Holder.from_text(text)
            if name_key(holder.name) == name_key(owned.name) and holder.owner == owned.owner:
                return True
    return False


def _owned_in(path: str) -> list[Owned]:
    """Return the owned names of a log, without those that are about to be free, sorted."""
    freed = maintenance.records(path, FREED)
    names = []
    for key, text in maintenance.records(path, OWNER).items():
        with suppress(ValueError):  # by the rules of this version it is no record
            owned = Owned.from_text(text)
            if key not in freed and time.time() - owned.used_at <= UNUSED_SECONDS:
                names.append(owned)
    return sorted(names, key=lambda owned: _alphabetic(owned.name))


def _alphabetic(name: str) -> tuple[str, str]:
    """Return what sorts names as people read them: accents tell apart only what is equal else."""
    key = name_key(name)
    letters = (c for c in unicodedata.normalize("NFD", key) if not unicodedata.combining(c))
    return "".join(letters), key
