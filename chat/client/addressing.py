"""Whom a typed line is about, and what follows the name, which may have spaces in it.

A line can be read in several ways, since the client does not know every name. Knows no commands.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator

from chat.client.durations import begins_like_one, split_duration
from chat.protocol.limits import MAX_NAME_CHARACTERS
from chat.protocol.names import name_key

# Who is meant, and what follows.
Reading = tuple[str, str]
_SPACES = re.compile(r"\s+")


def readings(
    text: str, known: Iterable[str], *, has_time: bool = False, needs_text: bool = False
) -> list[Reading]:
    """Return each way in which a line can be read; one, if it is clear.

    `known`: names that somebody has. `has_time`: a duration may follow the name, and ends it.
    `needs_text`: something must follow. A name in brackets is clear, since no name has any.
    """
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        return [(name.strip(), rest.strip())] if bracket else [("", text)]
    found = [(name, text[len(name) :].strip()) for name in known if _begins(text, name)]
    if len(found) > 1:
        return found
    if found:
        (name, rest) = found[0]
        return [*(_before_time(text, len(name)) if has_time else ()), *found]
    return _of_unknown(text, has_time, needs_text)


def _of_unknown(text: str, has_time: bool, needs_text: bool) -> list[Reading]:
    """Return how to read a line that begins with no known name: of one word, of more."""
    word, _space, rest = text.partition(" ")
    short = (word, rest.strip())
    if not rest or is_address(word) or (has_time and begins_like_one(short[1])):
        return [short]
    if has_time and (timed := list(_before_time(text, len(word)))):
        return [*timed, short]
    second, _space, rest = short[1].partition(" ")
    long = (f"{word} {second}", rest.strip())
    is_possible = len(long[0]) <= MAX_NAME_CHARACTERS and (rest or not needs_text)
    return [short, long] if is_possible else [short]


def _before_time(text: str, end: int) -> Iterator[Reading]:
    """Yield the name that ends at the first duration, if that is not at `end` already."""
    for space in _SPACES.finditer(text, end):
        rest = text[space.end() :]
        if begins_like_one(rest) and split_duration(rest)[0] is not None:
            if end < space.start() <= MAX_NAME_CHARACTERS:
                yield text[: space.start()], rest
            return


def is_address(word: str) -> bool:
    """Say whether a word is an address of the Internet Protocol, or a network of such."""
    try:
        ipaddress.ip_network(word, strict=False)
    except ValueError:
        return False
    return True


def _begins(text: str, name: str) -> bool:
    """Say whether `text` has `name` at its beginning, as a word or several."""
    end = text[len(name) :][:1]
    return name_key(text[: len(name)]) == name_key(name) and (not end or end.isspace())
