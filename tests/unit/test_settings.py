"""The client's settings: what a session needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from certificates import make_authority, make_pair

from chat.client.settings import name_of, read_flags, session_options
from chat.protocol.errors import ChatError, UsageError


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


@pytest.mark.parametrize(
    ("arguments", "has_key"),
    [([], True), (["--search", "oi"], False), (["--search", "oi", "--name", "ana"], True)],
)
def test_name_that_is_made_up_for_a_search_has_no_key(arguments: list[str], has_key: bool) -> None:
    """It would be the user's own for ever, and a key has room for few."""
    arguments = ["--tls", *arguments]
    options = session_options(read_flags(arguments, "a:1"), arguments)
    assert (options["key"] is not None) is has_key


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


FINGERPRINT = "ab" * 32


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fingerprint", "ab:cd"], "64 hex digits"),
        (["--tls-cert", "cert.pem"], "belong together"),
        (["--tls-key", "key.pem"], "belong together"),
        (["--tls-cert", "nowhere.pem", "--tls-key", "nowhere.pem"], "nowhere.pem"),
        (["--tls-ca", "nowhere.pem"], "nowhere.pem"),
    ],
)
def test_wrong_settings_of_tls(arguments: list[str], words: str) -> None:
    """Each is one sentence, before anything is connected."""
    with pytest.raises(UsageError, match=words):
        session_options(read_flags(arguments, "a:1"))


def test_authority_and_fingerprint_exclude_each_other(tmp_path: Path) -> None:
    """One of them decides."""
    (tmp_path / "ca.pem").write_bytes(make_authority().pem)
    arguments = ["--tls-ca", str(tmp_path / "ca.pem"), "--fingerprint", FINGERPRINT]
    with pytest.raises(UsageError, match="exclude each other"):
        session_options(read_flags(arguments, "a:1"))


def test_fingerprint_turns_tls_on() -> None:
    """It says more than --tls."""
    options = session_options(read_flags(["--fingerprint", FINGERPRINT], "a:1"))
    assert options["credentials"] is not None


def test_name_is_that_of_the_certificate_unless_one_is_given(tmp_path: Path) -> None:
    """Nobody is asked for it then; a certificate without a name says nothing of it."""
    for certificate_name, arguments, expected in (
        ("ana", [], "ana"),
        ("ana", ["--name", "bia"], "bia"),
        ("", [], None),
    ):
        cert, key = make_pair(certificate_name, []).write(tmp_path)
        settings = read_flags(["--tls-cert", cert, "--tls-key", key, *arguments], "a:1")
        assert name_of(settings, session_options(settings)["credentials"]) == expected
    settings = read_flags([], "a:1")
    assert name_of(settings, None) is None
