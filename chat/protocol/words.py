"""The words of a text, as a search compares them: without accents and case. Knows no storage.

Both sides need it: the server finds by it, and the client knows what there is to search for.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from chat.protocol.limits import MAX_SEARCH_TERMS

# Scripts that put no spaces between words (Thai to Khmer, kana, Han), and signs such as emoji: each
# character is a word, and several in a row are looked for as a row.
_SINGLE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_SIGNS = "\u2190-\u2bff\U0001f000-\U0001faff\U00020000-\U0003ffff"
_WORD = re.compile(f"[{_SINGLE}{_SIGNS}]|[^\\W_{_SINGLE}{_SIGNS}]+")
# What is between two quotation marks, or between two spaces; a mark without a partner is a space.
_CHUNK = re.compile(r'"([^"]*)"|([^\s"]+)')
# The marks of Latin, Greek and Cyrillic, and what may have others.
_LATIN_MARKS = re.compile("[\u0300-\u036f]+")
_BEYOND_LATIN = re.compile("[\u0483-\U0010ffff]")
# Typographic quotation marks, which keyboards put in by themselves.
_QUOTES = str.maketrans(dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'))
# The beginning of a word that is looked for has so many letters at least; a shorter one is a word.
MIN_PREFIX_CHARACTERS = 2


def words_of(text: str) -> list[str]:
    """Return the words of a text, in order, in the form in which they are compared."""
    return _WORD.findall(_folded(text))


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    plain = _LATIN_MARKS.sub("", unicodedata.normalize("NFKD", text.casefold()))
    if _BEYOND_LATIN.search(plain) is not None:
        plain = "".join(one for one in plain if not unicodedata.category(one).startswith("M"))
    return plain.casefold()  # what was made of several characters may have a case again


@dataclass(frozen=True)
class Term:
    """Words that must stand one after the other; of the last its beginning, where `is_open`."""

    words: tuple[str, ...]
    is_open: bool

    def is_in(self, words: Sequence[str]) -> bool:
        """Say whether the words of a text have it."""
        length = len(self.words)
        return any(
            self._fits(words[start : start + length]) for start in range(len(words) - length + 1)
        )

    def _fits(self, words: Sequence[str]) -> bool:
        *whole, last = self.words
        is_end = words[-1].startswith(last) if self.is_open else words[-1] == last
        return is_end and list(words[:-1]) == whole


@dataclass(frozen=True)
class Query:
    """What is searched for: texts that have all of the terms, in whatever order."""

    terms: tuple[Term, ...]

    @classmethod
    def of(cls, text: str) -> Query:
        """Read what somebody typed; without terms where there is no word in it.

        `reuni` finds reunião and Reunion; `"bom dia"` the two words as they stand; `e-mail`
        likewise, and e-mails. Terms beyond the first few are left out.
        """
        terms: dict[Term, None] = {}
        for quoted, bare in _CHUNK.findall(text.translate(_QUOTES)):
            if words := words_of(quoted or bare):
                is_open = bool(bare) and len(words[-1]) >= MIN_PREFIX_CHARACTERS
                terms[Term(tuple(words), is_open)] = None
        return cls(tuple(terms)[:MAX_SEARCH_TERMS])

    def is_in(self, text: str) -> bool:
        """Say whether a text has all of it."""
        words = words_of(text)
        return all(term.is_in(words) for term in self.terms)
