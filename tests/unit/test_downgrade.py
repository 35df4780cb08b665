"""A server that was encrypted is not talked to in the clear unless a person says so."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from chat.client.downgrade import check_clear
from chat.client.known_servers import KnownServers
from chat.protocol.errors import ConfigError

ADDRESS = "192.0.2.1:50051"


@pytest.fixture
def known(tmp_path: Path) -> KnownServers:
    """What is remembered: a certificate for two addresses."""
    servers = KnownServers(tmp_path)
    for address in (ADDRESS, "localhost:50051", "[::1]:50051"):
        assert servers.remember(address, b"a certificate")
    return servers


def in_clear(_address: str) -> bool:
    """Look at a server that has no TLS any more."""
    return False


def nothing(text: str) -> NoReturn:
    """Take no text."""
    raise AssertionError(text)


@pytest.mark.parametrize("answer", [True, False])
def test_way_down_is_asked_about(known: KnownServers, answer: bool) -> None:
    """With the flag, and with what to type where the server has none any more."""
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return answer

    if answer:
        check_clear(ADDRESS, confirm, nothing, known, in_clear)
    else:
        with pytest.raises(ConfigError, match=r"^Nothing was sent\.$"):
            check_clear(ADDRESS, confirm, nothing, known, in_clear)
    [question] = asked
    assert "Add --tls." in question and f"{ADDRESS} --forget-certificate\n" in question
    assert question.endswith("(yes/no)? ")


def test_program_does_not_go_down(known: KnownServers) -> None:
    """Nobody can be asked; the sentence says what to do."""
    with pytest.raises(ConfigError, match=r"Add --tls\.(.|\n)*--forget-certificate$"):
        check_clear(ADDRESS, None, nothing, known, in_clear)


@pytest.mark.parametrize("address", ["localhost:50051", "[::1]:50051"])
def test_own_machine_is_but_told_of(known: KnownServers, address: str) -> None:
    """Nobody is in between there."""
    told: list[str] = []
    check_clear(address, nothing, told.append, known, in_clear)
    check_clear(address, None, told.append, known, in_clear)
    assert len(told) == 2 and all("Add --tls." in text for text in told)


def test_server_that_still_has_tls_is_asked_about_by_nobody(known: KnownServers) -> None:
    """What to add is said once: here, or on this machine when it is talked to."""
    with pytest.raises(ConfigError, match=r"^192\.0\.2\.1:50051 speaks TLS only\. Add --tls\.$"):
        check_clear(ADDRESS, nothing, nothing, known, lambda address: address == ADDRESS)
    check_clear("localhost:50051", nothing, nothing, known, lambda _address: True)


def test_server_that_is_not_known_is_talked_to(known: KnownServers) -> None:
    """Nothing is asked, and nothing said,
    nor once it is forgotten."""
    check_clear("192.0.2.2:50051", nothing, nothing, known, in_clear)
    known.forget(ADDRESS)
    check_clear(ADDRESS, nothing, nothing, known, in_clear)
