"""The lines that a user typed, and the one that was being typed, kept from one run to the next.

Two small files for each server and name, in the user's state folder, for its owner alone: one JSON
string for each line, added at the end, so that two clients at a time lose none; and what was being
typed (`drafts.py`). Where there is no folder to write to, lines are known for as long as the client
runs. Knows no terminal.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path

from chat.cli import secret_files
from chat.cli.regular_files import open_regular
from chat.client.drafts import Drafts
from chat.client.json_rows import MAX_LINE_CHARACTERS, as_row, line_in, rows_in
from chat.protocol.names import name_key

# So many lines come back; the file is made short again when it has twice as many.
MAX_LINES = 500
LINES, DRAFT = "lines-", "draft-"


class TypedLines:
    """What `name` typed on the server at `address`; with no folder, in this run.

    `drafts`: what is being typed. `_lock` guards `_lines`: any thread may look.
    """

    def __init__(self, address: str = "", name: str = "", folder: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._lines_path, draft_path = _paths(folder, address, name)
        self._lines: deque[str] = deque(self._read_lines(), MAX_LINES)
        self.drafts = Drafts(draft_path)

    @property
    def earlier(self) -> list[str]:
        """The lines, the oldest first."""
        with self._lock:
            return list(self._lines)

    def add(self, line: str) -> None:
        """Keep a line, unless it is the last one once more."""
        if not line.strip() or len(line) > MAX_LINE_CHARACTERS:
            return
        with self._lock:
            if self._lines and self._lines[-1] == line:
                return
            self._lines.append(line)
        with suppress(OSError):
            self._append(line)

    def _append(self, line: str) -> None:
        if self._lines_path is not None:
            self._lines_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = open_regular(self._lines_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                os.write(file, as_row(line))
            finally:
                os.close(file)

    def _read_lines(self) -> list[str]:
        lines = [line for row in rows_in(self._lines_path) if (line := line_in(row))]
        if len(lines) > 2 * MAX_LINES and self._lines_path is not None:
            lines = lines[-MAX_LINES:]
            with suppress(OSError):
                secret_files.replace(self._lines_path, b"".join(map(as_row, lines)))
        return lines


def forget(folder: Path, address: str, name: str | None) -> bool:
    """Remove what `name` (None: everybody) typed on a server; say whether there was anything.

    Raises `OSError` where that cannot be.
    """
    of_name = _digest(name_key(name)) if name is not None else "*"
    found = [p for prefix in (LINES, DRAFT) for p in folder.glob(_name(prefix, address, of_name))]
    for path in found:
        path.unlink()
    return bool(found)


def _paths(folder: Path | None, address: str, name: str) -> tuple[Path | None, Path | None]:
    if folder is None:
        return None, None
    of_name = _digest(name_key(name))
    return folder / _name(LINES, address, of_name), folder / _name(DRAFT, address, of_name)


def _name(prefix: str, address: str, of_name: str) -> str:
    return f"{prefix}{_digest(address)}-{of_name}.jsonl"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
