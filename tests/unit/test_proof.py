"""Proofs that a name is one's own: what holds, what does not, and only once."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_SKEW_SECONDS
from chat.protocol.metadata import JoinRequest
from chat.protocol.proof import TYPE, check_proof, make_proof
from chat.server import proofs as proofs_module
from chat.server.proofs import REMEMBERED_SECONDS, Proofs

NOW = 1_800_000_000.0
SERVER, OTHER_SERVER = "ab" * 32, "cd" * 32
SESSION = "0123456789abcdef" * 2
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)


def holds(proof: str, name: str = "ana", session: str = SESSION, now: float = NOW) -> bool:
    try:
        check_proof(proof, name, [SERVER], session, now)
    except ChatError as error:
        assert error.reason == "PROOF_INVALID"
        return False
    return True


def test_proof_says_who_the_owner_is() -> None:
    """The public key, the same each time; the proof itself is another one each time."""
    first, second = (
        check_proof(make_proof(KEY, "Ana", SERVER, SESSION, NOW), "ana", [SERVER], SESSION, NOW)
        for _ in range(2)
    )
    assert first.owner == second.owner
    assert first.id != second.id


def test_proof_is_bound_to_name_server_session_and_time() -> None:
    """Each of them alone makes it worthless."""
    proof = make_proof(KEY, "ana", SERVER, SESSION, NOW)
    assert holds(proof)
    assert not holds(proof, name="bia")
    assert not holds(proof, session="f" * 32)
    assert not holds(make_proof(KEY, "ana", OTHER_SERVER, SESSION, NOW))
    assert holds(proof, now=NOW - MAX_SKEW_SECONDS)
    assert not holds(proof, now=NOW - MAX_SKEW_SECONDS - 1)
    assert not holds(proof, now=NOW + 2 * MAX_SKEW_SECONDS)


def altered(proof: str, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """Return a proof with other claims, signed by its key; or with another header, as it was."""
    if header is None:
        said = jwt.decode(proof, options={"verify_signature": False}) | claims
        head = jwt.get_unverified_header(proof)
        return jwt.encode(
            {name: value for name, value in said.items() if value is not None},
            KEY,
            "EdDSA",
            {"typ": head["typ"], "jwk": head["jwk"]},
        )
    _, *rest = proof.split(".")
    return ".".join([urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("="), *rest])


def test_what_a_bad_program_sends_is_no_proof() -> None:
    """Another algorithm, no signature, another key's name, missing or odd claims, a long life."""
    proof = make_proof(KEY, "ana", SERVER, SESSION, NOW)
    header = jwt.get_unverified_header(proof)
    other = OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate().public_key(), as_dict=True)
    assert holds(altered(proof))
    for wrong in (
        altered(proof, header | {"alg": "none"}),
        altered(proof, header | {"alg": "HS256"}),
        altered(proof, header | {"jwk": other}),
        altered(proof, header | {"jwk": "x"}),
        altered(proof, {"alg": "EdDSA", "typ": TYPE}),
        altered(proof, header | {"typ": "JWT"}),
        altered(proof, exp=NOW + 10 * 365 * 86_400),
        altered(proof, exp=1e400),
        altered(proof, exp=10**400),
        altered(proof, header | {"jwk": header["jwk"] | {"d": header["jwk"]["x"]}}),
        altered(proof, iat="x"),
        altered(proof, sid=[SESSION]),
        altered(proof, aud=None),
        altered(proof, jti=None),
        proof[:-4] + "AAAA",
        proof.rpartition(".")[0] + ".",
        "a.b.c",
        "",
        "x" * 100_000,
    ):
        assert not holds(wrong), wrong


def test_proof_holds_once() -> None:
    """Who reads it on its way cannot use it; and it is remembered for as long as it would hold."""
    later = [NOW, NOW + 1, NOW + 300, NOW + REMEMBERED_SECONDS + 1]
    times = iter(later)
    proofs = Proofs(lambda: [SERVER], lambda: next(times))
    proof = make_proof(KEY, "ana", SERVER, SESSION, NOW)
    request = JoinRequest("ana", session=SESSION, proof=proof)
    assert proofs.owner_of(request)
    for _ in later[1:]:
        with pytest.raises(ChatError, match="proof"):
            proofs.owner_of(request)


def test_no_more_proofs_are_remembered_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor for longer than they would hold."""
    monkeypatch.setattr(proofs_module, "MAX_REMEMBERED", 3)
    now = [NOW]
    proofs = Proofs(lambda: [SERVER], lambda: now[0])
    for _ in range(5):
        proof = make_proof(KEY, "ana", SERVER, SESSION, NOW)
        proofs.owner_of(JoinRequest("ana", session=SESSION, proof=proof))
    assert len(proofs) == 3
    now[0] += REMEMBERED_SECONDS + 1
    proof = make_proof(KEY, "ana", SERVER, SESSION, now[0])
    proofs.owner_of(JoinRequest("ana", session=SESSION, proof=proof))
    assert len(proofs) == 1


def test_who_brings_no_proof_owns_nothing() -> None:
    """A plain client, and one that does not care."""
    proofs = Proofs(lambda: [SERVER], lambda: NOW)
    assert proofs.owner_of(JoinRequest()) == ""
    assert proofs.owner_of(JoinRequest("ana")) == ""
