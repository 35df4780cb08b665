"""What operators do: remove, ban and mute people, end that, and say something to all rooms.

Each wish is judged, done at once, told to the rooms of whom it is about at all servers, echoed to
the operator with its key, and noted in the trail, where refused ones are too. `posting.py` hands
over what they wish; everything runs in the event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import chat_pb2
from chat.cli.display import one_line
from chat.cli.facts import name_sign
from chat.cli.i18n import N_, _
from chat.protocol.details import MAX_SECONDS, to_text
from chat.protocol.errors import ChatError
from chat.protocol.kinds import ANNOUNCEMENT
from chat.protocol.limits import (
    MAX_ANNOUNCEMENT_CHARACTERS,
    MAX_RAW_NAME_CHARACTERS,
    MAX_WORDS_CHARACTERS,
)
from chat.protocol.names import check_name, name_key
from chat.server.address import LOOPBACK, Network
from chat.server.banning import Banning
from chat.server.directory import Person
from chat.server.done_wishes import DoneWish
from chat.server.encoding import Delivery
from chat.server.expulsion import Expulsion
from chat.server.facts import Fact, Facts, end_of, error_of
from chat.server.hub import Hub
from chat.server.member import Member
from chat.server.moderation import Sanction, Sanctions, network_in, who_is
from chat.server.neighbours import Neighbour

DONE = {
    chat_pb2.KIND_REMOVED: "removed",
    chat_pb2.KIND_BANNED: "banned",
    chat_pb2.KIND_MUTED: "muted",
    chat_pb2.KIND_NOTICE: "announced",
}
# What is said of whoever is no operator.
TRIED = {
    chat_pb2.KIND_REMOVED: N_("{user} ({address}) is no operator, and tried to remove somebody."),
    chat_pb2.KIND_BANNED: N_("{user} ({address}) is no operator, and tried to ban somebody."),
    chat_pb2.KIND_MUTED: N_("{user} ({address}) is no operator, and tried to mute somebody."),
    chat_pb2.KIND_NOTICE: N_("{user} ({address}) is no operator, and tried to announce something."),
}
# With a time in the past.
ENDED = {chat_pb2.KIND_BANNED: "unbanned", chat_pb2.KIND_MUTED: "unmuted"}

Message = chat_pb2.Message
# The fact, and who leaves by it.
Done = tuple[Message, Sequence[Person]]
Show = Callable[[str, Sequence[Message]], None]

_log = logging.getLogger(__name__)


class Moderator:
    """Does what operators wish. `show` is called with each fact, for the server's console."""

    def __init__(self, hub: Hub, show: Show) -> None:
        self._hub = hub
        self._moderation = hub.moderation
        self._show = show
        self._facts = Facts(hub)
        self._banning = Banning(hub)
        self._expulsion = Expulsion(hub)
        self._of_kind: dict[int, Callable[[Member, Message], Done]] = {
            chat_pb2.KIND_REMOVED: self._remove,
            chat_pb2.KIND_BANNED: self._ban,
            chat_pb2.KIND_MUTED: self._mute,
            chat_pb2.KIND_NOTICE: self._announce,
        }

    async def do(self, member: Member, wish: Message) -> None:
        """Do what an operator wishes, once for each key; raises the refusal."""
        done = self._moderation.done
        echo = done.find(member.key_owner, wish.key)
        if echo is not None:
            member.queue.put_answer(Delivery([echo]))
            return
        fact, leaving = self._judge(member, wish)
        echo = Message()
        echo.CopyFrom(fact)
        echo.key = wish.key
        done.note(DoneWish(member.key_owner, echo))
        member.queue.put_answer(Delivery([echo]))
        self._hub.log.tell(DoneWish(member.key_owner, echo).to_text())
        # When the fact is told: nobody hears of it later.
        self._expulsion.expel(leaving, error_of(fact))
        self._show("", [fact])

    def _judge(self, member: Member, wish: Message) -> Done:
        """Do it but for who leaves; have it noted, also where it is refused."""
        record = _record(self._hub, member, wish)
        try:
            self._check_operator(member, wish)
            done = self._of_kind[wish.kind](member, wish)
        except ChatError as refusal:
            self._moderation.trail(_refused(record, refusal.reason))
            raise
        self._moderation.trail(record)
        return done

    def _check_operator(self, member: Member, wish: Message) -> None:
        if not self._is_operator(member.person):
            text, user = _(TRIED[wish.kind]), name_sign(member.name)
            _log.warning("%s", text.format(user=user, address=member.address or LOOPBACK))
            raise ChatError("NOT_OPERATOR")

    def _is_operator(self, person: Person | None) -> bool:
        return person is not None and self._moderation.is_operator(person.name, person.owner)

    # What they wish.

    def _remove(self, member: Member, wish: Message) -> Done:
        name, words = _name_in(wish), _words(wish)
        person = self._hub.directory.find(name)
        fact = Message(user=member.name, message=words, kind=wish.kind)
        if person is not None:
            self._check_unprotected([person])
            fact.to = person.name
            self._tell(fact, person.seen_in, exclude=(member, person.member))
            return fact, [person]
        neighbour = self._hub.neighbours.find(name)
        if neighbour is None:
            raise ChatError("USER_UNKNOWN")
        self._check_name_unprotected(neighbour.name)
        fact.to = neighbour.name
        self._tell_of(neighbour, fact, member)
        return fact, []

    def _tell_of(self, neighbour: Neighbour, fact: Message, member: Member) -> None:
        """Tell the rooms of somebody at another server, who leaves there by the fact."""
        self._facts.tell(Fact(fact, neighbour.rooms, neighbour.identity), exclude=(member,))

    def _ban(self, member: Member, wish: Message) -> Done:
        network = network_in(_name_in(wish))  # which nobody is called
        if network is not None:
            return self._ban_network(member, wish, network)
        sanction = self._aim(wish)
        fact = self._put(self._moderation.bans, sanction, member, wish)
        hit = [] if _is_end(fact) else self._banning.met_by(sanction)
        self._banning.tell_of_each(hit, fact, member)
        neighbour = self._hub.neighbours.find(sanction.name)
        if neighbour is not None and not _is_end(fact):
            self._tell_of(neighbour, fact, member)
        elif not hit:  # nobody of that name is here: those hear it who hear the operator
            self._tell(fact, member.rooms, exclude=(member,))
        return fact, hit

    def _ban_network(self, member: Member, wish: Message, network: Network) -> Done:
        hit = self._banning.within(network)
        if not self._ends(wish):
            self._check_unprotected(hit)
        sanction = Sanction("", network=str(network))
        fact = self._put(self._moderation.bans, sanction, member, wish)
        if _is_end(fact):
            return fact, []
        self._banning.tell_of_each(hit, fact, member)
        self._banning.end_strangers(network, fact)
        return fact, hit

    def _mute(self, member: Member, wish: Message) -> Done:
        sanction = self._aim(wish)
        fact = self._put(self._moderation.mutes, sanction, member, wish)
        person = self._hub.directory.find(sanction.name)
        neighbour = self._hub.neighbours.find(sanction.name)
        if person is not None:
            rooms: Iterable[str] = person.seen_in
        else:
            rooms = neighbour.rooms if neighbour is not None else member.rooms
        self._tell(fact, rooms, exclude=(member,))
        return fact, []

    def _announce(self, member: Member, wish: Message) -> Done:
        """Say something to everybody on all servers, but for those who know two fields only."""
        text = one_line(wish.message)
        if not text:
            raise ChatError("MESSAGE_INVALID")
        if len(text) > MAX_ANNOUNCEMENT_CHARACTERS:
            raise ChatError("WORDS_TOO_LONG")
        notice = Message(user=ANNOUNCEMENT, message=text, to=member.name, kind=wish.kind)
        notice.sent_at.FromSeconds(int(self._moderation.clock()))
        self._facts.tell(Fact(notice, None), exclude=(member,))
        return notice, []

    # Whom it is about.

    def _aim(self, wish: Message) -> Sanction:
        """Return, without an end, what is to hold for the one whom a wish names."""
        name = _name_in(wish)
        person = self._hub.directory.find(name)
        if person is not None:
            if not self._ends(wish):
                self._check_unprotected([person])
            who = who_is(person)
            return Sanction(who.name, who.owner, who.identity)
        name = check_name(name)
        if name_key(name) in self._moderation.operators and not self._ends(wish):
            raise ChatError("OPERATOR_PROTECTED")
        owned, neighbour = self._hub.owners.find(name), self._hub.neighbours.find(name)
        owner = owned.owner if owned is not None else ""
        if neighbour is not None:
            return Sanction(neighbour.name, owner, neighbour.identity)
        return Sanction(name, owner)

    def _ends(self, wish: Message) -> bool:
        """Say whether a wish ends something: also what holds for somebody who is an operator now.

        Raises REQUEST_INVALID.
        """
        until = _until(wish)
        return until is not None and until <= self._moderation.clock()

    def _check_unprotected(self, people: Iterable[Person]) -> None:
        if any(map(self._is_operator, people)):
            raise ChatError("OPERATOR_PROTECTED")

    def _check_name_unprotected(self, name: str) -> None:
        """Raise OPERATOR_PROTECTED for who has an operator's name elsewhere, where it is owned."""
        owned = self._hub.owners.find(name)
        if owned is not None and self._moderation.is_operator(name, owned.owner):
            raise ChatError("OPERATOR_PROTECTED")

    # Doing it, and telling.

    def _put(
        self, sanctions: Sanctions, sanction: Sanction, member: Member, wish: Message
    ) -> Message:
        """Begin or end a ban or a mute; return the fact. Raises NOT_IN_FORCE."""
        words = _words(wish)
        fact = Message(user=member.name, message=words, kind=wish.kind)
        fact.to = sanction.network or sanction.name
        if self._ends(wish):
            if not sanctions.end(sanction):
                raise ChatError("NOT_IN_FORCE")
            fact.sent_at.FromSeconds(0)
            fact.sent_at.SetInParent()
            return fact
        until = _until(wish)
        sanctions.add(replace(sanction, until=until, words=words, by=member.name))
        if until is not None:
            fact.sent_at.CopyFrom(wish.sent_at)
        return fact

    def _tell(self, fact: Message, rooms: Iterable[str], exclude: Sequence[Member | None]) -> None:
        self._facts.tell(Fact(fact, tuple(rooms)), exclude)


def _record(hub: Hub, member: Member, wish: Message) -> dict[str, Any]:
    """Return what the trail says of a wish: who wants what, of whom, until when and why."""
    to = wish.to[:MAX_RAW_NAME_CHARACTERS]
    person = hub.directory.find(to)
    until = wish.sent_at.seconds if wish.HasField("sent_at") else None
    now, did = hub.moderation.clock(), DONE[wish.kind]
    if until is not None and until <= now and wish.kind in ENDED:
        until, did = None, ENDED[wish.kind]
    return {
        "at": to_text(now),
        "operator": member.name,
        "address": member.address or LOOPBACK,
        "did": did,
        "to": to,
        "to_address": (person.address or LOOPBACK) if person is not None else "",
        "until": to_text(until) if until is not None else None,
        "words": wish.message[:MAX_ANNOUNCEMENT_CHARACTERS],
    }


def _refused(record: dict[str, Any], reason: str) -> dict[str, Any]:
    """Return what the trail says of a wish that was refused: nothing of what was done."""
    tried = {("tried" if key == "did" else key): value for key, value in record.items()}
    return tried | {"refused": reason, "words": record["words"][:MAX_WORDS_CHARACTERS]}


def _name_in(wish: Message) -> str:
    """Return whom a wish names; raises NAME_INVALID where that is too long to be anybody."""
    if not 1 <= len(wish.to) <= MAX_RAW_NAME_CHARACTERS:
        raise ChatError("NAME_INVALID")
    return wish.to


def _words(wish: Message) -> str:
    """Return the reason that an operator gives, on one line; raises WORDS_TOO_LONG."""
    if len(wish.message) > MAX_WORDS_CHARACTERS:
        raise ChatError("WORDS_TOO_LONG")
    return one_line(wish.message)


def _until(wish: Message) -> float | None:
    """Return until when, in seconds since 1970, None: for good; raises REQUEST_INVALID."""
    if not wish.HasField("sent_at"):
        return None
    sent_at = wish.sent_at
    if not (0 <= sent_at.seconds <= MAX_SECONDS and 0 <= sent_at.nanos < 1_000_000_000):
        raise ChatError("REQUEST_INVALID")
    return end_of(wish)


def _is_end(fact: Message) -> bool:
    return fact.HasField("sent_at") and fact.sent_at.seconds == 0
