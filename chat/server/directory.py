"""Who holds which name: one holder for each, over all rooms. Everything runs in the event loop."""

from __future__ import annotations

from chat.protocol.errors import ChatError
from chat.protocol.names import check_not_reserved, name_key
from chat.server.member import Member


class Directory:
    """Names and sessions, and the members that hold them. Names are compared by `name_key`."""

    def __init__(self) -> None:
        self._names: dict[str, Member] = {}
        self._sessions: dict[str, Member] = {}

    def __len__(self) -> int:
        """How many names and sessions are held."""
        return len(self._names) + len(self._sessions)

    def holder(self, name: str) -> Member | None:
        """Return who is called so."""
        return self._names.get(name_key(name))

    def ghost_of(self, session: str) -> Member | None:
        """Return the earlier stream of the same client, which may not know yet that it is over."""
        return self._sessions.get(session) if session else None

    def check_free(self, name: str, member: Member | None = None) -> None:
        """Raise NAME_TAKEN if the name is reserved, or held by another one than `member`."""
        check_not_reserved(name)
        if self._names.get(name_key(name), member) is not member:
            raise ChatError("NAME_TAKEN")

    def remember_session(self, member: Member) -> None:
        """Note whose stream this is, so that the client can take its own name back."""
        if member.session:
            self._sessions[member.session] = member

    def set_name(self, member: Member, name: str) -> bool:
        """Give `member` the name; say whether that changed anything. Raises NAME_TAKEN."""
        self.check_free(name, member)
        if member.name == name:
            return False
        self._forget_name(member)
        member.name = name
        member.name_key = name_key(name)
        self._names[member.name_key] = member
        return True

    def release(self, member: Member) -> None:
        """Free the member's name and session."""
        if self._sessions.get(member.session) is member:
            del self._sessions[member.session]
        self._forget_name(member)

    def _forget_name(self, member: Member) -> None:
        if member.name:
            del self._names[member.name_key]
