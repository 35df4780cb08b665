"""The server's certificate: read, made, replaced; and what is said of those that are of no use."""

from __future__ import annotations

import datetime
import os
import stat
import sys
import threading
from pathlib import Path

import pytest
from certificates import DAY, PEM, make_authority, make_pair
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from chat.cli.certificate_files import read_pair
from chat.protocol.errors import ConfigError, UsageError
from chat.server.certificate import ServerCertificate
from chat.server.self_made import make_beside

HOUR = datetime.timedelta(hours=1)


# Read from files.


def test_pair_is_read_whole(tmp_path: Path) -> None:
    """The whole chain is kept; the first certificate is the server's."""
    authority = make_authority()
    pair = make_pair(issuer=authority)
    cert, key = pair.write(tmp_path)
    Path(cert).write_bytes(b"text \xe3 around it\n" + pair.pem + authority.pem)
    read = read_pair(cert, key)
    assert read.chain.count(b"BEGIN CERT") == 2 and read.key == pair.key_pem
    assert read.fingerprint == pair.fingerprint


def test_key_with_its_parameters_before_it(tmp_path: Path) -> None:
    """As `openssl ecparam -genkey` writes it."""
    pair = make_pair()
    cert, key = pair.write(tmp_path)
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    Path(key).write_bytes(parameters + pair.key_pem)
    assert read_pair(cert, key).fingerprint == pair.fingerprint


@pytest.mark.parametrize(
    ("begins", "ends", "words"),
    [(-2 * DAY, -HOUR, "expired on 20"), (HOUR, DAY, "is not valid before 20")],
)
def test_certificate_of_another_time(
    tmp_path: Path, begins: datetime.timedelta, ends: datetime.timedelta, words: str
) -> None:
    """Clients would refuse it: it is said with its date instead."""
    cert, key = make_pair(begins=begins, ends=ends).write(tmp_path)
    with pytest.raises(UsageError, match=words):
        read_pair(cert, key)


def test_key_that_asks_for_a_password(tmp_path: Path) -> None:
    """Nobody is asked."""
    pair = make_pair()
    cert, key = pair.write(tmp_path)
    secret = serialization.BestAvailableEncryption(b"secret")
    style = serialization.PrivateFormat.PKCS8
    Path(key).write_bytes(pair.key.private_bytes(PEM, style, secret))
    with pytest.raises(UsageError, match="damaged"):
        read_pair(cert, key)


def test_key_that_grpc_cannot_use(tmp_path: Path) -> None:
    """Ed25519 is sound, and still no handshake would succeed."""
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - DAY, now + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("chat")]), critical=False)
        .sign(key, None)
    )
    style, clear = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    for name_of_file, content in (
        ("cert.pem", certificate.public_bytes(PEM)),
        ("key.pem", key.private_bytes(PEM, style, clear)),
    ):
        (tmp_path / name_of_file).write_bytes(content)
    with pytest.raises(UsageError, match="ECDSA"):
        read_pair(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))


# Made by the server.


def test_certificate_is_made_once(tmp_path: Path) -> None:
    """And is the same from then on, for its owner alone, for ten years, without leftovers."""
    log = str(tmp_path / "talk.db")
    first = make_beside(log)
    contents = [Path(path).read_bytes() for path in first]
    assert make_beside(log) == first and [Path(path).read_bytes() for path in first] == contents
    assert sorted(os.listdir(tmp_path)) == ["talk-cert.pem", "talk-key.pem"]
    leaf = read_pair(*first).leaf
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["chat"]
    public = leaf.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name == "secp256r1"
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc > 3650 * DAY
    if sys.platform != "win32":
        assert [stat.S_IMODE(os.stat(path).st_mode) for path in first] == [0o600, 0o600]


def test_each_log_of_a_folder_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in memory has that of the default log, there or not."""
    monkeypatch.chdir(tmp_path)
    paths = {make_beside(log) for log in ("a.db", "b.db", ":memory:", "chat.db")}
    assert {Path(cert).name for cert, _key in paths} == {
        "a-cert.pem",
        "b-cert.pem",
        "chat-cert.pem",
    }


def test_servers_that_start_at_once_agree(tmp_path: Path) -> None:
    """Whoever comes first makes it; nobody sees half of it."""
    found: list[str] = []

    def start() -> None:
        found.append(read_pair(*make_beside(str(tmp_path / "chat.db"))).fingerprint)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1


def test_start_that_was_interrupted_is_completed(tmp_path: Path) -> None:
    """The key comes first, and is kept."""
    cert, key = make_beside(str(tmp_path / "chat.db"))
    Path(cert).unlink()
    before = Path(key).read_bytes()
    assert make_beside(str(tmp_path / "chat.db")) == (cert, key)
    assert Path(key).read_bytes() == before
    read_pair(cert, key)


def test_lost_key_is_a_sentence(tmp_path: Path) -> None:
    """No other one is made in silence: clients would be asked about it."""
    _cert, key = make_beside(str(tmp_path / "chat.db"))
    Path(key).unlink()
    with pytest.raises(UsageError, match="is missing"):
        make_beside(str(tmp_path / "chat.db"))


def test_damaged_key_is_a_sentence(tmp_path: Path) -> None:
    """With what to do about it."""
    (tmp_path / "chat-key.pem").write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n")
    with pytest.raises(UsageError, match="Remove it"):
        make_beside(str(tmp_path / "chat.db"))


def test_folder_that_cannot_be_written_to_is_a_sentence(tmp_path: Path) -> None:
    """It says what could not be made."""
    with pytest.raises(ConfigError, match="cannot be made"):
        make_beside(str(tmp_path / "nowhere" / "chat.db"))


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need rights on Windows")
def test_certificate_is_beside_the_log_itself(tmp_path: Path) -> None:
    """Not beside a link to it."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "disk" / "real.db")
    cert, _key = make_beside(str(tmp_path / "link.db"))
    assert Path(cert) == (tmp_path / "disk" / "real-cert.pem").resolve()


# Replaced.


async def test_previous_certificate_counts_a_little_longer(tmp_path: Path) -> None:
    """For as long as proofs that were made for it."""
    now = 100.0
    old, new = make_pair(), make_pair()
    certificate = ServerCertificate(*old.write(tmp_path), clock=lambda: now)
    assert certificate.fingerprints() == [old.fingerprint]
    new.write(tmp_path)
    await certificate.watched.check(is_asked=True)
    assert certificate.fingerprints() == [new.fingerprint, old.fingerprint]
    await certificate.watched.check(is_asked=True)
    now += 59
    assert certificate.fingerprints() == [new.fingerprint, old.fingerprint]
    now += 2
    assert certificate.fingerprints() == [new.fingerprint]


async def test_broken_pair_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told in a sentence."""
    pair = make_pair()
    cert, key = pair.write(tmp_path)
    certificate = ServerCertificate(cert, key)
    Path(key).write_bytes(make_pair().key_pem)
    await certificate.watched.check(is_asked=True)
    assert certificate.fingerprints() == [pair.fingerprint]
    assert "does not fit the certificate" in caplog.messages[0]
