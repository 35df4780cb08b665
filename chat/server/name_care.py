"""What is done with owned names beside serving: --names and --free.

Called in the main thread, also while a server has the log open; return the exit code.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress

from chat.cli.display import one_line, shown_name
from chat.cli.i18n import _, _n
from chat.protocol.names import name_key
from chat.protocol.sealing import fingerprint_of
from chat.server.log import maintenance
from chat.server.log.base import LogError
from chat.server.log_sentences import explain_log_error
from chat.server.mail import WAIT_SECONDS
from chat.server.ownership import UNUSED_SECONDS, Owned
from chat.server.records import FREED, OWNER


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
        maintenance.keep_record(path, FREED, name_key(owned.name), "{}")
    except LogError as error:
        print(explain_log_error(error), file=sys.stderr)
        return 1
    text = _(
        "{name} is free, in a few seconds where the server is running. Whoever comes next under it"
        " owns it; what waited for the owner until now is for nobody."
    )
    print(text.format(name=f"[{shown_name(owned.name)}]"))
    return 0


def _owned_in(path: str) -> list[Owned]:
    """Return the owned names of a log, without those that are about to be free, sorted."""
    freed = maintenance.records(path, FREED)
    names = []
    for key, text in maintenance.records(path, OWNER).items():
        with suppress(ValueError):  # by the rules of this version it is no record
            owned = Owned.from_text(text)
            if key not in freed and time.time() - owned.used_at <= UNUSED_SECONDS:
                names.append(owned)
    return sorted(names, key=lambda owned: name_key(owned.name))
