"""The client's settings: what a session needs."""

from __future__ import annotations

import pytest

from chat.client.settings import read_flags, session_options
from chat.protocol.errors import ChatError


def test_session_gets_what_the_flags_say() -> None:
    """TLS and tokens only where they are asked for."""
    assert session_options(read_flags(["--history", "5", "--room", "redes"], "a:1")) == {
        "rooms": ["redes"],
        "history": 5,
        "token": "",
        "credentials": None,
        "key": None,
    }
    assert session_options(read_flags(["--tls"], "a:1"))["credentials"] is not None


def test_bad_room_is_refused_before_anything_is_connected() -> None:
    """As the server would."""
    with pytest.raises(ChatError, match="room"):
        session_options(read_flags(["--room", "a  b"], "a:1"))


@pytest.mark.parametrize(
    ("arguments", "variable", "rooms"),
    [
        ([], None, [""]),
        ([], "", [""]),
        ([], "redes, Aula", ["redes", "Aula"]),
        (["--room", "x"], "redes", ["x"]),
        (["--room", "a", "--room", "comum", "--room", "A"], None, ["A", ""]),
        (["--room", ""], "redes", [""]),
    ],
)
def test_rooms_are_given_several_times(
    arguments: list[str], variable: str | None, rooms: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each counts once; the flag takes the place of the variable."""
    if variable is not None:
        monkeypatch.setenv("CHAT_ROOM", variable)
    assert session_options(read_flags(arguments, "a:1"))["rooms"] == rooms


def test_too_many_rooms_are_refused() -> None:
    """Before anything is connected."""
    arguments = [text for number in range(21) for text in ("--room", f"r{number}")]
    with pytest.raises(ChatError, match="20 rooms"):
        session_options(read_flags(arguments, "a:1"))
