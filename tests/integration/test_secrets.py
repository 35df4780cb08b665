"""Whatever is refused, and whatever goes wrong: no secret is ever logged, or shown on a screen."""

from __future__ import annotations

import base64
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from certificates import make_authority, make_pair
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support import (
    CHANNEL_OPTIONS,
    Client,
    RunningServer,
    full_metadata,
    running_client,
    running_server,
)

from chat.protocol.metadata import PROOF
from chat.protocol.proof import make_proof


class Secrets:
    """Everything that is nobody else's business, as it may be found in a text."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    def add(self, *texts: str) -> str:
        """Note secrets; return the last."""
        self.known.update(texts)
        return texts[-1]

    def token(self, name: str) -> str:
        return self.add(f"{name}-{secrets.token_urlsafe(16)}")

    def session(self) -> str:
        return self.add(secrets.token_hex(16))

    def proof(self, proof: str) -> str:
        """A proof, and what it says and is signed with: each may be used for another one."""
        return self.add(*proof.split(".")[1:], proof)

    def pem(self, path: str) -> None:
        """A private key in a file, each line of it."""
        self.add(*[line for line in Path(path).read_text().splitlines() if "-----" not in line])

    def found_in(self, text: str) -> list[str]:
        """Return those that stand in a text, however it spells them."""
        lower = text.lower()
        return [secret for secret in sorted(self.known) if secret.lower() in lower]


class Stage:
    """A server with all that can be asked for, and what was said by it and its clients."""

    def __init__(self, folder: Path) -> None:
        self.secrets = Secrets()
        self.authority = make_authority()
        self.pair = make_pair(issuer=self.authority)
        cert, key = self.pair.write(folder)
        self.secrets.pem(key)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(self.authority.pem)
        self.token = self.secrets.token("ana")
        self.token_file = folder / "tokens"
        self.token_file.touch(0o600)
        self.token_file.write_text(f"ana:{self.token}\n")
        self.flags = ("--tls-cert", cert, "--tls-key", key, "--token-file", str(self.token_file))
        self.said: list[str] = []
        self.address = ""

    @contextmanager
    def raw(self, user: str, token: str, session: str = "", proof: str = "") -> Iterator[Client]:
        """Open a stream by hand."""
        metadata = full_metadata(user, token=token, session=session)
        metadata += [(PROOF, proof)] if proof else []
        trust = grpc.ssl_channel_credentials(self.authority.pem)
        client = Client(self.address, metadata, trust, CHANNEL_OPTIONS, user)
        try:
            client.wait_for_greeting()
            yield client
        finally:
            client.close()
            self.said.append(client.details)
            self.said.extend(map(str, client.messages))

    def refused(self, user: str, token: str, session: str = "", proof: str = "") -> str:
        """Return why a stream is refused."""
        with self.raw(user, token, session, proof) as client:
            return client.wait_for_end()[1]

    def program(self, token: str, *flags: str) -> int:
        """Run a client that says a word, and return how it ends."""
        tls = ("--tls-ca", str(self.ca), "--name", "robo", "--lang", "en")
        with running_client(self.address, *tls, *flags, env={"CHAT_TOKEN": token}) as client:
            client.type("oi")
            client.end_input()
            code = client.wait()
            self.said += [client.stdout, client.stderr]
        return code

    def change_tokens(self, server: RunningServer, text: str, words: str) -> None:
        """Write another file of tokens, and wait for what the server says of it."""
        self.token_file.write_text(text)
        if sys.platform != "win32":
            server.send_signal(signal.SIGHUP)
        server.wait_for_error(words)


def test_no_secret_is_said(tmp_path: Path) -> None:
    """By neither side, in all refusals that have to do with one."""
    stage = Stage(tmp_path)
    with running_server(*stage.flags, db=tmp_path / "chat.db") as server:
        stage.address = server.address
        change_tokens(stage, server)  # first: of many lines in a second some are left out
        show_tokens(stage)
        show_proofs(stage)
        assert server.stop() in (0, 1)
        stage.said += [server.stdout, server.stderr]
    text = "\n".join(stage.said)
    assert "TOKEN" in text and "[robo]: oi" in text and "was refused" in text
    assert stage.secrets.found_in(text) == []
    assert stage.secrets.found_in(f"x{stage.token.upper()}x") == [stage.token]


def show_tokens(stage: Stage) -> None:
    """The right one, none, and wrong ones, by programs and by hand."""
    wrong = stage.secrets.token("wrong")
    assert stage.program(stage.token) == 0
    assert stage.program("") == 1
    assert stage.program(wrong) == 1
    assert stage.program(stage.secrets.add("\u00e9" + secrets.token_hex(8))) == 2
    assert stage.refused("eva", "", stage.secrets.session()) == "TOKEN_MISSING"
    assert stage.refused("eva", wrong, stage.secrets.session()) == "TOKEN_INVALID"
    assert stage.refused("eva", f"eva:{stage.token}") == "TOKEN_INVALID"
    assert stage.refused("eva", stage.token, stage.secrets.session() + "0") == "REQUEST_INVALID"


def show_proofs(stage: Stage) -> None:
    """One that holds; then all that do not, and the session of somebody who could prove more."""
    key, session = Ed25519PrivateKey.generate(), stage.secrets.session()
    raw = key.private_bytes_raw()
    stage.secrets.add(raw.hex(), base64.urlsafe_b64encode(raw).decode().rstrip("="))

    def proof(name: str = "ana", server: str = stage.pair.fingerprint, age: float = 0) -> str:
        return stage.secrets.proof(make_proof(key, name, server, session, time.time() - age))

    once = proof()
    with stage.raw("ana", stage.token, session, once) as ana:
        assert ana.epoch and ana.is_open
        for wrong in (once, proof("bia"), proof(server="00" * 32), proof(age=3600), once[:-4]):
            assert stage.refused("ana", stage.token, session, wrong) == "PROOF_INVALID"
        assert stage.refused("eva", stage.token, session) == "NAME_OWNED"
        assert stage.refused("ana", stage.token, stage.secrets.session()) == "NAME_OWNED"


def change_tokens(stage: Stage, server: RunningServer) -> None:
    """A broken file, one in which a token is there twice, and one without somebody's."""
    ana, carla = f"ana:{stage.token}\n", stage.secrets.token("carla")
    short = stage.secrets.add(secrets.token_hex(3))
    stage.change_tokens(server, f"{ana}bia:{short}\n", "line 2: ")
    stage.change_tokens(server, f"{ana}bia:{carla}\ncarla:{carla}\n", "line 3: ")
    stage.change_tokens(server, f"{ana}carla:{carla}\n", "tokens: read again")
    with stage.raw("carla", carla, stage.secrets.session()) as stream:
        assert stream.epoch
        stage.change_tokens(server, ana, "")
        assert stream.wait_for_end()[1] == "TOKEN_INVALID"
