"""What a ban does to those who are here: who is met by it, and how the rooms hear of that.

What operators of this server wish comes from `moderator.py`, what those of others do from
`other_servers.py`. Everything runs in the event loop.
"""

from __future__ import annotations

from collections.abc import Sequence

import chat_pb2
from chat.server.address import Network, is_within, network_of
from chat.server.directory import Person
from chat.server.expulsion import Expulsion
from chat.server.facts import Fact, Facts, error_of
from chat.server.hub import Hub
from chat.server.member import Member
from chat.server.moderation import Sanction, who_is

# Of those whom one ban meets, so many are named to their rooms; the others are only seen to leave.
MAX_NAMED = 20

Message = chat_pb2.Message


class Banning:
    """Applies bans to the people of one server."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._facts = Facts(hub)
        self._expulsion = Expulsion(hub)

    def within(self, network: Network) -> list[Person]:
        """Return who is here, or expected back, from a network."""
        people = self._hub.directory.people
        addresses = {a for a in {p.address for p in people} if is_within(network, a)}
        return [person for person in people if person.address in addresses]

    def met_by(self, sanction: Sanction) -> list[Person]:
        """Return who is here, or expected back, for whom a ban in force holds; no operators."""
        moderation = self._hub.moderation
        return [
            person
            for person in self._meant_by(sanction)
            if not moderation.is_operator(person.name, person.owner)
            and moderation.bans.find(who_is(person)) is not None
        ]

    def _meant_by(self, sanction: Sanction) -> set[Person]:
        directory = self._hub.directory
        network = network_of(sanction.network) if sanction.network else None
        if network is not None:
            return set(self.within(network))
        known = {
            person
            for person in directory.people
            if person.identity == sanction.identity
            or (person.owner and person.owner == sanction.owner)
        }
        return known | directory.similar(sanction.name)

    def tell_of_each(
        self, people: Sequence[Person], fact: Message, operator: Member | None = None
    ) -> None:
        """Tell those who stay in the rooms of each whom it meets of a fact, by that one's name.

        Of very many only the first are told so: the network is nobody else's to know.
        """
        leaving = [operator, *(person.member for person in people)]
        for person in people[:MAX_NAMED]:
            told = Message()
            told.CopyFrom(fact)
            told.to = person.name
            self._facts.tell(Fact(told, tuple(person.seen_in)), exclude=leaving)

    def end_strangers(self, network: Network, fact: Message) -> None:
        """End the streams from a network that have not said a name yet."""
        for stranger in [m for m in self._hub.members if m.person is None]:
            if is_within(network, stranger.address):
                stranger.close(error_of(fact))
                self._hub.leave(stranger)

    def apply(self, sanction: Sanction) -> None:
        """Have those leave here whom a ban of another server meets, and have that told."""
        fact = fact_of(sanction)
        people = self.met_by(sanction)
        self.tell_of_each(people, fact)
        network = network_of(sanction.network) if sanction.network else None
        if network is not None:
            self.end_strangers(network, fact)
        self._expulsion.expel(people, error_of(fact))


def fact_of(sanction: Sanction) -> Message:
    """Return what is told of a ban that begins."""
    to, kind = sanction.network or sanction.name, chat_pb2.KIND_BANNED
    fact = Message(user=sanction.by, to=to, message=sanction.words, kind=kind)
    if sanction.until is not None:
        fact.sent_at.FromNanoseconds(int(sanction.until * 1e9))
    return fact
