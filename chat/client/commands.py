"""The table of commands: `/ajuda`, the completion and the guide's list are made from it.

Knows what commands are called, not what they do: `actions.py` does them.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from chat.cli import i18n
from chat.cli.i18n import N_, _
from chat.client.guessing import nearest as nearest_word

PREFIX = "/"
BLANKS = re.compile(r"\s+")
# What people may type to accept a key, whatever their language.
ACCEPT_WORDS = frozenset({"aceitar", "accept"})
# Words whose folded form is remembered: as many as there may be names to choose from, and more.
MAX_FOLDED = 1 << 14
# Of a command's other names the list of all commands shows so many.
LISTED_NAMES = 3
# Leaves, as in other programs; with a name behind it, it would talk to somebody in other chats.
SHORT_NAME = "q"


@lru_cache(maxsize=MAX_FOLDED)
def folded(word: str) -> str:
    """Return `word` as it is compared: without accents, all in one case."""
    if word.isascii():
        return word.lower()
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


@dataclass(frozen=True)
class Command:
    """`names`: the Portuguese one, then the English one, if that is another. `completes`: by Tab.

    `other_names`: what it is called elsewhere, which is understood and not offered.

    `example`: arguments with a name that has spaces, where such a name needs brackets.
    `brief`: what it does in few words, for a row of a menu, where the help is longer.
    `is_for_operators`: the server refuses it to everybody else.
    """

    names: tuple[str, ...]
    help: str
    arguments: str = ""
    completes: str = ""
    example: str = ""
    is_for_operators: bool = False
    other_names: tuple[str, ...] = ()
    brief: str = ""

    @property
    def typed(self) -> str:
        """The name, as it is typed, in the user's language."""
        is_english = i18n.current() == i18n.SOURCE_LANGUAGE
        names = self.names[1:] if is_english and len(self.names) > 1 else self.names
        return PREFIX + names[0]

    @property
    def usage(self) -> str:
        """How it is typed, in the user's language."""
        return f"{self.typed} {_(self.arguments) if self.arguments else ''}".rstrip()

    @property
    def words(self) -> list[str]:
        """The words of which one is its argument, in the user's language."""
        return _(self.arguments).strip("[]").split("|")

    @property
    def explanation(self) -> str:
        """What it does, and how a name with spaces is typed."""
        if not self.example:
            return _(self.help)
        text = _("{help}; a name with spaces in brackets: {usage}")
        return text.format(help=_(self.help), usage=self.example_usage)

    @property
    def example_usage(self) -> str:
        """How it is typed with a name that has spaces."""
        return f"{self.typed} {_(self.example)}"

    @property
    def aliases(self) -> list[str]:
        """Its names in the other languages, as they are typed."""
        names = (PREFIX + name for name in self.names)
        return [name for name in names if name != self.typed]

    @property
    def all_aliases(self) -> list[str]:
        """All its other names, as they are typed."""
        return [*self.aliases, *(PREFIX + name for name in self.other_names)]


LEAVE = Command(("sair", "quit"), N_("leave the chat"), other_names=(SHORT_NAME, "exit"))
HELP = Command(
    ("ajuda", "help"),
    N_("show the commands, or what one of them does"),
    N_("[COMMAND]"),
    completes="commands",
    brief=N_("show the commands"),
)
WHO = Command(
    ("quem", "who"),
    N_("show who is in the room, or in another one that you are in"),
    N_("[ROOM]"),
    completes="rooms",
    other_names=("names", "users", "w"),
    brief=N_("show who is here"),
)
TELL = Command(
    ("msg",),
    N_("tell one person something in private"),
    N_("NAME TEXT"),
    completes="names",
    example=N_("[ana paula] hello"),
    other_names=("tell", "query", "m", "dm", "whisper"),
    brief=N_("write in private"),
)
REPLY = Command(
    ("r", "reply"),
    N_("answer the last private message"),
    N_("TEXT"),
    brief=N_("answer in private"),
)
ME = Command(
    ("eu", "me"),
    N_("say what you do: /me waves shows as [ana] *waves* to everybody"),
    N_("TEXT"),
    brief=N_("say what you do"),
)
KEY = Command(
    ("chave", "key"),
    N_("show somebody's key and yours, to compare them; with accept, trust a key that has changed"),
    N_("[NAME [accept]]"),
    completes="names",
    brief=N_("compare keys"),
)
RENAME = Command(
    ("nome", "nick"),
    N_("take another name"),
    N_("NAME"),
    brief=N_("take another name"),
)
MOVE = Command(
    ("sala", "join"),
    N_("enter a room and talk there, or go back to one; without a name, to the common one"),
    N_("[NAME]"),
    completes="rooms",
    other_names=("entrar", "j"),
    brief=N_("enter a room"),
)
ROOMS = Command(
    ("salas", "rooms"),
    N_("show the rooms that have people"),
    other_names=("list",),
    brief=N_("show the rooms"),
)
PART = Command(
    ("deixar", "part"),
    N_("leave a room; without a name, the one that you talk in"),
    N_("[NAME]"),
    completes="rooms",
    other_names=("leave",),
    brief=N_("leave a room"),
)
CLOSE = Command(
    ("fechar", "close"),
    N_("close the room: only those you invite can enter it"),
    brief=N_("close the room"),
)
INVITE = Command(
    ("convidar", "invite"),
    N_("invite somebody into the room that you closed, also somebody who is away"),
    N_("NAME"),
    completes="names",
    brief=N_("invite somebody"),
)
UNINVITE = Command(
    ("desconvidar", "uninvite"),
    N_("take back an invitation; who is in the room has to leave it"),
    N_("NAME"),
    completes="names",
    brief=N_("end an invitation"),
)
OPEN = Command(
    ("abrir", "open"),
    N_("open the room again, to everybody"),
    brief=N_("open the room again"),
)
HISTORY = Command(
    ("histórico", "history"),
    N_("show older messages of the room, 20 at a time; again for even older ones"),
    N_("[NUMBER|@ID]"),
    brief=N_("show older messages"),
)
SEARCH = Command(
    ("buscar", "search"),
    N_('find what was said in the room, by all of the words or a "phrase"; again for older ones'),
    N_("TEXT"),
    other_names=("lastlog",),
    brief=N_("find what was said"),
)
IGNORE = Command(
    ("ignorar", "ignore"),
    N_("hide what somebody says, from now on; again to undo it; without a name: who that is"),
    N_("[NAME]"),
    completes="names",
    brief=N_("hide what one says"),
)
REMOVE = Command(
    ("remover", "kick"),
    N_("operators: have somebody leave the chat"),
    N_("NAME [REASON]"),
    completes="names",
    example="[ana paula] spam",
    is_for_operators=True,
    brief=N_("put somebody out"),
)
BAN = Command(
    ("banir", "ban"),
    N_("operators: keep a name, or an address, out; for 10min, 2h or 3d, or for good"),
    N_("NAME|ADDRESS [TIME] [REASON]"),
    completes="names",
    example="[ana paula] 2h spam",
    is_for_operators=True,
    brief=N_("keep somebody out"),
)
UNBAN = Command(
    ("desbanir", "unban"),
    N_("operators: end a ban"),
    N_("NAME|ADDRESS"),
    completes="names",
    is_for_operators=True,
    brief=N_("end a ban"),
)
MUTE = Command(
    ("silenciar", "mute"),
    N_("operators: let nobody but operators hear somebody"),
    N_("NAME [TIME] [REASON]"),
    completes="names",
    example="[ana paula] 10min",
    is_for_operators=True,
    brief=N_("silence somebody"),
)
UNMUTE = Command(
    ("dessilenciar", "unmute"),
    N_("operators: let somebody speak again"),
    N_("NAME"),
    completes="names",
    is_for_operators=True,
    brief=N_("let somebody speak"),
)
ANNOUNCE = Command(
    ("aviso", "announce"),
    N_("operators: tell everybody on the server something"),
    N_("TEXT"),
    is_for_operators=True,
    brief=N_("tell everybody"),
)
BELL = Command(
    ("sino", "bell"),
    N_("when to ring: at all messages, at those to you (mentions), or not at all (off)"),
    N_("[all|mentions|off]"),
    completes="bells",
    brief=N_("when to ring"),
)
CLEAR = Command(
    ("limpar", "clear"),
    N_("clear the screen; what was on it is further up"),
    brief=N_("clear the screen"),
)
LANGUAGE = Command(
    ("idioma", "language", "lang"),
    N_("go on in another language: pt_BR or en"),
    N_("LANGUAGE"),
    completes="languages",
    brief=N_("change the language"),
)

COMMANDS = (
    LEAVE,
    HELP,
    MOVE,
    ROOMS,
    PART,
    CLOSE,
    INVITE,
    UNINVITE,
    OPEN,
    WHO,
    HISTORY,
    SEARCH,
    TELL,
    REPLY,
    KEY,
    ME,
    RENAME,
    IGNORE,
    BELL,
    CLEAR,
    LANGUAGE,
    REMOVE,
    BAN,
    UNBAN,
    MUTE,
    UNMUTE,
    ANNOUNCE,
)
_BY_NAME = {
    folded(name): command for command in COMMANDS for name in (*command.names, *command.other_names)
}


def is_command(line: str) -> bool:
    """Say whether a typed line is a command; `//text` is not, it sends `/text`."""
    return line.startswith(PREFIX) and not line.startswith(PREFIX * 2)


def as_typed(command: Command, argument: str) -> str:
    """Return a command as it is typed."""
    return f"{command.typed} {argument}".rstrip()


def is_leaving(line: str) -> bool:
    """Say whether a typed line is the command to leave; `/q` with a name is meant otherwise."""
    text = line.strip()
    if not is_command(text):
        return False
    command, argument = parse(text)
    is_short = folded(text.partition(" ")[0]) == PREFIX + SHORT_NAME
    return command is LEAVE and not (is_short and argument)


def is_request(line: str) -> bool:
    """Say whether a typed line is a command that says nothing to anybody."""
    text = line.strip()
    return is_command(text) and parse(text)[0] not in (None, TELL, REPLY, ME)


def parse(line: str) -> tuple[Command | None, str]:
    """Return the command that `line` gives, None for an unknown one, and its argument.

    Case and accents make no difference to the command's name.
    """
    word, argument = _split(line)
    return _BY_NAME.get(folded(word)), argument.strip()


def _split(line: str) -> tuple[str, str]:
    """Return a command's name as it is typed, and what comes after it, a pasted tab say."""
    word, *rest = BLANKS.split(line.removeprefix(PREFIX), maxsplit=1)
    return word, "".join(rest)


def nearest(line: str) -> str:
    """Return the command that an unknown one may have been meant for, or "".

    As it is typed in the user's language, whichever of its names was meant.
    """
    word = folded(_split(line)[0])
    name = nearest_word(word, _BY_NAME)
    return _BY_NAME[name].typed if name else ""


def help_lines() -> list[str]:
    """Return what `/ajuda` shows: each command, its other names, and what it does.

    Those for operators by their names alone, since few people need them.
    """
    lines = [
        _line(command, command.all_aliases[:LISTED_NAMES], _(command.help))
        for command in COMMANDS
        if not command.is_for_operators
    ]
    others = [command.typed for command in COMMANDS if command.is_for_operators]
    text = _("For operators: {commands}; {help} says how")
    example = f"{HELP.typed} {others[0].removeprefix(PREFIX)}"
    return [
        *lines,
        f"{PREFIX * 2}{_('TEXT')}: " + _("send a message that begins with /"),
        text.format(commands=", ".join(others), help=example),
    ]


def help_line(command: Command) -> str:
    """Return what `/ajuda` says of one command."""
    return _line(command, command.all_aliases, command.explanation)


def _line(command: Command, aliases: list[str], text: str) -> str:
    names = f" ({', '.join(aliases)})" if aliases else ""
    return f"{command.usage}{names}: {text}"


def named(word: str) -> Command | None:
    """Return the command that is called so, with its sign before it or without."""
    return parse(PREFIX + word.removeprefix(PREFIX))[0]


def markdown() -> str:
    """Return the table of commands for the guide, in the user's language."""
    # A bar in a cell would begin the next one, even in code (GitHub Flavored Markdown, tables).
    uses = [c.usage.replace("|", "\\|") for c in COMMANDS]
    rows = [
        f"| `{use}` | {', '.join(map(_code, c.all_aliases))} | {c.explanation} |"
        for use, c in zip(uses, COMMANDS, strict=True)
    ]
    head = f"| {_('Command')} | {_('or')} | {_('does')} |"
    last = f"| `{PREFIX * 2}{_('TEXT')}` | | {_('send a message that begins with /')} |"
    return "\n".join([head, "| --- | --- | --- |", *rows, last]) + "\n"


def _code(text: str) -> str:
    return f"`{text}`"
