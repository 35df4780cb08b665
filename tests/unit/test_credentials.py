"""Whom an authority vouches for, on whichever Python."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from certificates import Pair, make_authority, make_pair
from cryptography import x509

from chat.cli.credentials import vouched_for


@pytest.fixture
def authority() -> Pair:
    """One that others take, without what RFC 5280 asks for beyond that it is one."""
    return make_authority()


def meet(authorities: Pair, shown: Pair, folder: Path) -> str | None:
    """Return the version of TLS in which a client that trusts `authorities` meets who is `shown`.

    Raises what the client does.
    """
    ca, _key = authorities.write(folder, "ca-")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*shown.write(folder))
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = vouched_for(ca).wrap_bio(back, there, server_hostname="localhost")
    server = serving.wrap_bio(there, back, server_side=True)
    for side in (client, server, client):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return client.version()


def test_authority_need_not_have_every_extension(authority: Pair, tmp_path: Path) -> None:
    """What `ssl` refuses by itself from Python 3.13 on, and gRPC takes."""
    assert meet(authority, make_pair(issuer=authority), tmp_path) == "TLSv1.3"


def test_authority_whose_own_one_is_not_there_suffices(authority: Pair, tmp_path: Path) -> None:
    """What `ssl` refuses by itself before Python 3.13, and gRPC takes."""
    branch = make_pair("a branch of it", issuer=authority, is_authority=True)
    assert meet(branch, make_pair(issuer=branch), tmp_path) == "TLSv1.3"


def test_nobody_else_is_trusted(authority: Pair, tmp_path: Path) -> None:
    """Neither what another authority signed, nor what the right one signed for another name."""
    with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
        meet(authority, make_pair(issuer=make_authority()), tmp_path)
    other = make_pair("other", [x509.DNSName("other.example")], issuer=authority)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        meet(authority, other, tmp_path)


def test_without_a_file_the_machine_decides(
    authority: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what OpenSSL looks at for its authorities."""
    monkeypatch.setenv("SSL_CERT_FILE", authority.write(tmp_path)[0])
    assert vouched_for().get_ca_certs(binary_form=True) == [authority.der]
