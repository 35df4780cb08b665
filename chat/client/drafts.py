"""What was being typed in each room, kept from one run to the next.

One small file for each server and name, with a row of JSON for each room, the latest last: of the
common room the text alone, which is all that earlier versions wrote; of another room an object,
which they pass over, so that they put nothing into the prompt that is for other people. Knows no
terminal.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chat.cli import secret_files
from chat.client.json_rows import MAX_LINE_CHARACTERS, as_row, line_in, room_in, rows_in
from chat.protocol.names import COMMON_ROOM, name_key

# In so many rooms; of more the oldest are forgotten.
MAX_DRAFTS = 20


@dataclass(frozen=True)
class _RoomDraft:
    """What is being typed in a room, which is named as it was typed."""

    room: str
    text: str

    @property
    def row(self) -> object:
        return {"room": self.room, "draft": self.text} if self.room else self.text


class Drafts:
    """What is being typed in each room, as the file at `path` has it; None: in this run alone.

    `_lock` guards the rest: the line editor's thread types, another one saves. Another client of
    this user may change the file meanwhile: what was typed here is changed in what it holds then.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._drafts = _read(path)  # by the key of the room
        self._room = COMMON_ROOM  # the one that is talked in
        self._changed: set[str] = set()  # keys of rooms, since it was saved last

    @property
    def room(self) -> str:
        """The room that is talked in."""
        with self._lock:
            return self._room

    @property
    def waiting(self) -> list[str]:
        """The other rooms in which something is left to be typed on, the latest last."""
        with self._lock:
            here = name_key(self._room)
            return [d.room for key, d in self._drafts.items() if key != here and d.text.strip()]

    def go_to(self, room: str) -> str:
        """Type in `room` from now on; return what is being typed there."""
        with self._lock:
            self._room = room
            draft = self._drafts.get(name_key(room))
            return "" if draft is None else draft.text

    def edit(self, text: str) -> None:
        """Note what is being typed in the room that is talked in; empty: nothing."""
        with self._lock:
            self._note(self._room, text)

    def put(self, room: str, text: str) -> None:
        """Note what is to be typed on in a room, in place of what was."""
        with self._lock:
            self._note(room, text)

    def _note(self, room: str, text: str) -> None:
        key = name_key(room)
        before = self._drafts.pop(key, None)
        if text:
            self._drafts[key] = _RoomDraft(room, text)
            _bound(self._drafts)
        if text != (before.text if before is not None else ""):
            self._changed.add(key)

    def save(self) -> None:
        """Write what changed since the last time. From any thread; blocks for a moment."""
        with self._lock:
            changed = {key: self._drafts.get(key) for key in self._changed}
            self._changed.clear()
        changed = {key: d for key, d in changed.items() if d is None or _is_kept(d)}
        if changed and self._path is not None:
            with suppress(OSError):
                _write(self._path, _merged(_read(self._path), changed))


def _is_kept(draft: _RoomDraft) -> bool:
    return len(draft.text) <= MAX_LINE_CHARACTERS


def _bound(drafts: dict[str, _RoomDraft]) -> None:
    while len(drafts) > MAX_DRAFTS:
        del drafts[next(iter(drafts))]


def _merged(
    kept: dict[str, _RoomDraft], changed: dict[str, _RoomDraft | None]
) -> dict[str, _RoomDraft]:
    """Return what a file is to hold, given what it holds and what changed; None: is gone."""
    for key, draft in changed.items():
        kept.pop(key, None)
        if draft is not None and draft.text.strip():
            kept[key] = draft
    _bound(kept)
    return kept


def _write(path: Path, drafts: dict[str, _RoomDraft]) -> None:
    if drafts:
        secret_files.replace(path, b"".join(as_row(draft.row) for draft in drafts.values()))
    else:
        path.unlink()


def _read(path: Path | None) -> dict[str, _RoomDraft]:
    """Return the drafts in a file, by the key of the room; rows that make no sense are none."""
    drafts: dict[str, _RoomDraft] = {}
    for row in rows_in(path):
        if (draft := _draft_in(row)) is not None:
            drafts.pop(name_key(draft.room), None)
            drafts[name_key(draft.room)] = draft
    _bound(drafts)
    return drafts


def _draft_in(row: object) -> _RoomDraft | None:
    room, text = (row.get("room"), row.get("draft")) if isinstance(row, dict) else ("", row)
    place, line = room_in(room), line_in(text)
    return _RoomDraft(place, line) if line and place is not None else None
