"""The way to a server: what gRPC is to call it."""

from __future__ import annotations

import pytest

from chat.client.connection import target_of


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("localhost:1", "dns:///localhost:1"),
        ("unix:1", "dns:///unix:1"),
        ("localhos%74:1", "dns:///localhos%2574:1"),
        ("a?b#c:1", "dns:///a%3Fb%23c:1"),
        ("máquina:1", "dns:///m%C3%A1quina:1"),
        ("[fe80::1%eth0]:1", "dns:///[fe80::1%25eth0]:1"),
    ],
)
def test_host_is_a_host_whatever_it_is_called(address: str, target: str) -> None:
    """Never one of gRPC's schemes, and nothing in it is read as part of a URI."""
    assert target_of(address) == target
