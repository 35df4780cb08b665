"""What Tab offers for the end of a typed line: commands, names, rooms, each with what it is.

Knows the table of commands and no terminal; who and what there is to choose from is handed to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from chat.cli.i18n import _
from chat.client import commands
from chat.client.commands import PREFIX, Command, folded
from chat.protocol.limits import MAX_NAME_CHARACTERS

# What may stand before a name, and what ends it then.
SIGNS = {"@": "", "[": "]"}
# Behind a name at the beginning of a line, which speaks to whoever has it.
ADDRESS_END = ":"


class Candidate(NamedTuple):
    """What the word may be completed to: `text`; and in the menu `shown`, and what that does.

    `brief`: the same in few words, where the row is short.
    """

    text: str
    shown: str
    help: str = ""
    brief: str = ""


# How many characters are completed, and by what.
Completions = tuple[int, list[Candidate]]
# How a word is written: the word, and whether it is the first of what is typed.
Form = Callable[[str, bool], str]


def completions(before: str, choices: Mapping[str, Iterable[str]]) -> Completions:
    """Return how much of the end of `before` Tab completes, and by what.

    `choices`: the words for each `Command.completes`, in their order. A name may have spaces in it:
    the longest end of the line is taken that begins one. Case and accents make no difference.
    """
    if not commands.is_command(before):
        return _of_words(before, 0, choices["names"], _in_message)
    head, space, argument = before.partition(" ")
    if not space:
        return len(before), _of_commands(before)
    command, _argument = commands.parse(before)
    kind = command.completes if command is not None else ""
    if kind == "commands":
        return len(argument), _of_commands(PREFIX + argument.removeprefix(PREFIX))
    is_name = kind == "names"
    start = len(head) + 1
    return _of_words(before, start, choices[kind or "names"], _as_argument if is_name else _plain)


def _of_commands(word: str) -> list[Candidate]:
    """Return the commands that begin so in the user's language; in any, where none does."""
    start = folded(word)
    own = [(c.typed, c) for c in commands.COMMANDS if folded(c.typed).startswith(start)]
    others = [
        (PREFIX + name, c)
        for c in commands.COMMANDS
        for name in (*c.names, *c.other_names)
        if folded(PREFIX + name).startswith(start)
    ]
    return [_of_command(typed, command) for typed, command in own or others]


def _of_command(typed: str, command: Command) -> Candidate:
    usage = command.usage.replace(command.typed, typed, 1)
    return Candidate(typed, usage, _(command.help), _(command.brief or command.help))


def _of_words(before: str, start: int, words: Iterable[str], form: Form) -> Completions:
    """Return what the longest end of `before`, from `start` on, begins."""
    choices = [(folded(word), word) for word in words]
    for begin in _word_starts(before, start):
        sign = before[begin : begin + 1] if before[begin : begin + 1] in SIGNS else ""
        typed = folded(before[begin + len(sign) :])
        if found := [word for key, word in choices if key.startswith(typed)]:
            is_first = begin == start
            shown = [sign + word + SIGNS.get(sign, "") for word in found]
            texts = shown if sign else [form(word, is_first) for word in found]
            return len(before) - begin, [
                Candidate(*pair) for pair in zip(texts, shown, strict=True)
            ]
    return 0, []


def _word_starts(before: str, start: int) -> Iterator[int]:
    """Yield where words begin, also behind a bracket, as far back as a name may reach."""
    for place in range(max(start, len(before) - MAX_NAME_CHARACTERS - 1), len(before) + 1):
        if place == start or not (before[place - 1].isalnum() or before[place - 1] in SIGNS):
            yield place


# The forms.


def _in_message(name: str, is_first: bool) -> str:
    return name + ADDRESS_END if is_first else name


def _as_argument(name: str, is_first: bool) -> str:
    """In brackets where it has spaces, so that it is clear where it ends."""
    return f"[{name}]" if is_first and " " in name else name


def _plain(word: str, is_first: bool) -> str:
    return word
