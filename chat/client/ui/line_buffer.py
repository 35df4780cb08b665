"""The text of the line being typed, edited by what a person sees: whole graphemes, whole words.

prompt_toolkit moves and deletes by Python's characters, and knows words of ASCII alone. Its keys
end up in the few methods here. Everything runs in the editor's loop.
"""

from __future__ import annotations

from typing import Any

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.cache import FastDictCache
from prompt_toolkit.document import Document
from prompt_toolkit.selection import SelectionState

from chat.cli.graphemes import end_of, start_of, words_of


class LineDocument(Document):
    """A document whose words are those of any language."""

    def find_next_word_beginning(self, count: int = 1, WORD: bool = False) -> int | None:
        """Return how far the `count`-th word after the cursor begins, None without one."""
        if WORD or count < 1:
            return super().find_next_word_beginning(count, WORD)
        starts = [start for start, _end in words_of(self.text) if start > self.cursor_position]
        return self._distance(starts, count)

    def find_next_word_ending(
        self, include_current_position: bool = False, count: int = 1, WORD: bool = False
    ) -> int | None:
        """Return how far the `count`-th word that ends after the cursor ends, None without one."""
        if WORD or count < 1:
            return super().find_next_word_ending(include_current_position, count, WORD)
        ends = [end for _start, end in words_of(self.text) if end > self.cursor_position]
        return self._distance(ends, count)

    def find_previous_word_beginning(self, count: int = 1, WORD: bool = False) -> int | None:
        """Return how far back the `count`-th word before the cursor begins, None without one."""
        if WORD or count < 1:
            return super().find_previous_word_beginning(count, WORD)
        starts = [start for start, _end in words_of(self.text) if start < self.cursor_position]
        return self._distance(starts[::-1], count)

    def find_start_of_previous_word(
        self, count: int = 1, WORD: bool = False, pattern: Any = None
    ) -> int | None:
        """As `find_previous_word_beginning`; a `pattern` is for prompt_toolkit's own."""
        if WORD or pattern is not None:
            return super().find_start_of_previous_word(count, WORD, pattern)
        return self.find_previous_word_beginning(count)

    def _distance(self, places: list[int], count: int) -> int | None:
        return places[count - 1] - self.cursor_position if count <= len(places) else None


class LineBuffer(Buffer):
    """A buffer whose cursor is moved to no place inside a grapheme, and that deletes none in part.

    What is typed may still join what is around it: the parts of a flag or of a family come as
    several keys.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._documents: FastDictCache[tuple[str, int, SelectionState | None], Document] = (
            FastDictCache(LineDocument, size=10)
        )

    @property
    def document(self) -> Document:
        """The text, with the cursor and the selection."""
        return self._documents[self.text, self.cursor_position, self.selection_state]

    @document.setter
    def document(self, value: Document) -> None:
        self.set_document(value)

    @property
    def cursor_position(self) -> int:
        """How many of Python's characters are before the cursor."""
        return super().cursor_position

    @cursor_position.setter
    def cursor_position(self, value: int) -> None:
        is_back = value < super().cursor_position
        place = start_of(self.text, value) if is_back else end_of(self.text, value)
        Buffer.cursor_position.__set__(self, place)  # type: ignore[attr-defined]

    def delete_before_cursor(self, count: int = 1) -> str:
        """Delete so many characters before the cursor, and all of the grapheme they begin in."""
        place = super().cursor_position
        return super().delete_before_cursor(place - start_of(self.text, max(0, place - count)))

    def delete(self, count: int = 1) -> str:
        """Delete so many characters after the cursor, and all of the grapheme they end in."""
        place = super().cursor_position
        return super().delete(end_of(self.text, place + count) - place)

    def swap_characters_before_cursor(self) -> None:
        """Swap the two graphemes before the cursor."""
        text, end = self.text, super().cursor_position
        middle = start_of(text, end - 1)
        start = start_of(text, middle - 1)
        if 0 <= start < middle:
            self.text = text[:start] + text[middle:end] + text[start:middle] + text[end:]
