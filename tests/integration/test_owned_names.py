"""Names that belong to somebody, over TLS: who is refused, what waits, what the owner may do."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import Pair, make_pair
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support import (
    Client,
    ServerHere,
    eventually,
    full_client,
    plain_client,
    server_here,
)

import chat_pb2
from chat.protocol.errors import UsageError
from chat.protocol.limits import MAX_SKEW_SECONDS, PROOF_SECONDS
from chat.protocol.names import name_key
from chat.protocol.proof import make_proof
from chat.server import name_care, ownership
from chat.server.log import maintenance
from chat.server.log.sqlite import SqliteLog
from chat.server.ownership import Owned
from chat.server.records import FREED, HOLDER, OWNER, Holder
from chat.server.settings import owns_names

ANA, BIA = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
SESSION, OTHER_SESSION = "a" * 32, "b" * 32
NAME_OWNED = (grpc.StatusCode.ALREADY_EXISTS, "NAME_OWNED")
PROOF_INVALID = (grpc.StatusCode.UNAUTHENTICATED, "PROOF_INVALID")


class Door:
    """A server's address, and the certificate by which it is known."""

    def __init__(self, server: ServerHere, pair: Pair) -> None:
        self.server = server
        self.pair = pair
        self.credentials = grpc.ssl_channel_credentials(pair.pem)

    def proof(self, key: Ed25519PrivateKey, name: str, session: str = SESSION) -> str:
        """Return a proof for a stream of now."""
        return make_proof(key, name, self.pair.fingerprint, session, time.time())

    def come(
        self, name: str, proof: str = "", session: str = SESSION, **wishes: Any
    ) -> AbstractContextManager[Client]:
        """Open a stream as a full client."""
        return full_client(
            self.server.address,
            name,
            credentials=self.credentials,
            session=session,
            proof=proof,
            inbox=0,
            history=0,
            **wishes,
        )

    def own(
        self, key: Ed25519PrivateKey, name: str, session: str = SESSION
    ) -> AbstractContextManager[Client]:
        """Open a stream as the owner of a name."""
        return self.come(name, self.proof(key, name, session), session)


@pytest.fixture(scope="module")
def pair() -> Pair:
    """The certificate of the server."""
    return make_pair()


@contextmanager
def door(pair: Pair, folder: Path, *flags: str) -> Iterator[Door]:
    """Run a server whose log is in a folder."""
    cert, key = pair.write(folder)
    tls = ("--tls-cert", cert, "--tls-key", key)
    with server_here(*tls, *flags, db=folder / "chat.db") as server:
        yield Door(server, pair)


def refused(client: Client) -> tuple[grpc.StatusCode, str]:
    """Return how the stream of a client that says something ended."""
    client.say("oi")
    return client.wait_for_end()


def test_nobody_passes_for_the_owner(
    pair: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is refused with its reason, and logged with where it came from, but no secret."""
    with door(pair, tmp_path) as here:
        first = here.proof(ANA, "ana")
        with here.come("ana", first) as ana:
            ana.cancel()  # the name is held for the session
            ana.wait_for_end()
        now, elsewhere = time.time(), make_pair().fingerprint
        old = now - PROOF_SECONDS - MAX_SKEW_SECONDS - 1
        used = here.proof(BIA, "caio", OTHER_SESSION)
        with here.come("caio", used, OTHER_SESSION):
            pass
        attempts = [
            (NAME_OWNED, here.come("ana", session=OTHER_SESSION)),
            (NAME_OWNED, here.own(BIA, "Ana", OTHER_SESSION)),
            (NAME_OWNED, here.own(BIA, "\u0430na", OTHER_SESSION)),
            (NAME_OWNED, here.come("zeca", session=SESSION)),
            (PROOF_INVALID, here.come("bia", first)),
            (PROOF_INVALID, here.come("ana", make_proof(ANA, "ana", elsewhere, SESSION, now))),
            (
                PROOF_INVALID,
                here.come("ana", make_proof(ANA, "ana", pair.fingerprint, SESSION, old)),
            ),
            (PROOF_INVALID, here.come("caio", used, OTHER_SESSION)),
        ]
        for expected, attempt in attempts:
            with attempt as impostor:
                assert refused(impostor) == expected
        address, credentials = here.server.address, here.credentials
        with plain_client(address, "ana", credentials=credentials) as plain:
            assert refused(plain) == NAME_OWNED
        reasons = [reason for (_code, reason), _attempt in attempts] + ["NAME_OWNED"]
    lines = [record.getMessage() for record in caplog.records]
    for line, reason in zip(lines, reasons, strict=True):
        assert line.endswith(f"was refused: {reason}")
        assert line.startswith(("ipv4:127.0.0.1:", "ipv6:%5B::1%5D:"))
    for secret in (first, used, SESSION, OTHER_SESSION):
        assert secret not in caplog.text


def test_nobody_takes_an_owned_name_by_a_rename(
    pair: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told by a notice, and logged; the owner of both has no such trouble."""
    with door(pair, tmp_path) as here:
        with here.own(ANA, "ana"):
            pass
        with here.own(BIA, "bia", OTHER_SESSION) as bia:
            bia.rename("Ana", key="1")
            assert bia.wait_for_key("1").user == "NAME_OWNED"
            assert "was refused: NAME_OWNED" in caplog.text
            bia.rename("bianca", key="2")
            assert bia.wait_for_key("2").kind == chat_pb2.KIND_RENAMED
        for name in ("bia", "bianca"):
            with here.come(name, session=SESSION) as impostor:
                assert refused(impostor) == NAME_OWNED


def test_private_message_waits_over_restarts(pair: Pair, tmp_path: Path) -> None:
    """Once, in order, and on another machine: another session with the same key."""
    with door(pair, tmp_path) as here, here.own(BIA, "bia"):
        pass
    for number in range(3):
        with door(pair, tmp_path) as here, here.own(ANA, "ana", OTHER_SESSION) as ana:
            ana.say(f"oi {number}", key=str(number), to="Bia")
            away = ana.wait_for_kind(chat_pb2.KIND_NOTICE)
            assert (away.user, away.key, away.to) == ("AWAY", "", "bia")
            ana.wait_for_key(str(number))
    with door(pair, tmp_path) as here:
        with here.own(BIA, "bia", "c" * 32) as bia:
            bia.wait_for_texts(3)
            assert bia.texts == ["oi 0", "oi 1", "oi 2"]
        for session in ("d" * 32, "c" * 32):
            with here.own(BIA, "bia", session) as bia:
                bia.say("chegou", key="end")
                bia.wait_for_key("end")
                assert bia.texts == ["chegou"]


def test_owner_of_the_server_lists_and_frees_names(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it runs; what waits for the old owner is not for the new one."""
    monkeypatch.setattr(ownership, "FREED_LOOK_SECONDS", 0.05)
    db = str(tmp_path / "chat.db")

    def listed() -> list[str]:
        assert name_care.list_names(db) == 0
        return capsys.readouterr().out.splitlines()

    with door(pair, tmp_path) as here:
        with here.own(ANA, "Ana"):
            pass
        with here.own(BIA, "bia", OTHER_SESSION) as bia:
            bia.say("segredo", key="1", to="ana")
            bia.wait_for_key("1")
        lines = eventually(lambda: len(listed()) == 2 and listed())
        assert lines and lines[0].startswith("[Ana]  key ") and "1 message waits" in lines[0]
        assert "no message waits" in lines[1]
        assert name_care.free(db, "caio") == 1 and "nobody" in capsys.readouterr().err
        assert name_care.free(db, "ANA") == 0
        assert capsys.readouterr().out.startswith("[Ana] is free")
        assert [line.partition("]")[0] for line in listed()] == ["[bia"]
        eventually(lambda: not maintenance.records(db, FREED))
        with here.own(BIA, "ana", "e" * 32) as new:
            new.say("eu")
            new.wait_for_text("eu")
            assert new.texts == ["eu"]


def test_names_are_listed_as_people_read_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By letters, whatever their case and accents; a certified one has no key."""
    db = str(tmp_path / "chat.db")
    SqliteLog(db).abandon()
    for name in ("Zeca", "\u00c1vila", "bia", "avi", "\u00e9rica", "Eva"):
        owner = ownership.CERTIFIED if name == "bia" else "key-of-" + name
        record = json.dumps(asdict(Owned(name, owner, time.time())))
        maintenance.keep_record(db, OWNER, name_key(name), record)
    assert name_care.list_names(db) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.partition("]")[0][1:] for line in lines]
    assert names == ["avi", "\u00c1vila", "bia", "\u00e9rica", "Eva", "Zeca"]
    assert "]  key " in lines[0] and "]  by certificate, last used" in lines[2]
    assert lines[0].endswith(", no message waits")


def test_who_frees_a_name_is_told_that_somebody_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who keeps it until they leave; not where nobody is, or only somebody without the key."""
    db = str(tmp_path / "chat.db")
    SqliteLog(db).abandon()
    for name, holder in (("Ana", "key-of-Ana"), ("bia", ""), ("caio", None)):
        owned = Owned(name, "key-of-" + name, time.time())
        maintenance.keep_record(db, OWNER, name_key(name), json.dumps(asdict(owned)))
        if holder is not None:
            text = Holder(name_key(name), owner=holder).to_text()
            maintenance.keep_record(db, HOLDER, "session-of-" + name, text)
    for name in ("ana", "bia", "caio"):
        assert name_care.free(db, name) == 0
        assert ("Whoever is there" in capsys.readouterr().out) == (name == "ana")


def test_names_belong_to_nobody_where_the_servers_owner_says_so(pair: Pair, tmp_path: Path) -> None:
    """With and without TLS; the server knows of how many, and does not forget them."""
    with door(pair, tmp_path) as here, here.own(ANA, "ana"):
        pass
    with door(pair, tmp_path, "--no-own-names") as here:
        assert here.server.server.unguarded_names == 1
        with here.come("ana", session=OTHER_SESSION) as somebody:
            somebody.say("oi")
            somebody.wait_for_text("oi")
    with server_here(db=tmp_path / "chat.db") as server:
        assert server.server.unguarded_names == 1
    with door(pair, tmp_path) as here, here.come("ana", session="f" * 32) as impostor:
        assert refused(impostor) == NAME_OWNED


def test_owned_names_need_tls() -> None:
    """A sentence, not a server whose names anybody can prove."""
    with pytest.raises(UsageError, match="--own-names needs TLS"):
        owns_names(True, has_tls=False)
    assert owns_names(None, has_tls=True) and owns_names(True, has_tls=True)
    assert not owns_names(None, has_tls=False) and not owns_names(False, has_tls=True)


def test_care_for_names_of_what_is_no_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence; and a log without names says so, also one of an earlier version."""
    none, db = str(tmp_path / "none.db"), str(tmp_path / "chat.db")
    assert name_care.list_names(none) == name_care.free(none, "ana") == 1
    assert len(capsys.readouterr().err.splitlines()) == 2
    SqliteLog(db).abandon()
    assert name_care.list_names(db) == 0
    assert "No name belongs to anybody" in capsys.readouterr().out
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("DROP TABLE record")
    assert name_care.list_names(db) == 0 and name_care.free(db, "ana") == 1
