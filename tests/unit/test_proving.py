"""Proofs for streams: fresh ones, for a known server alone, by its clock where ours is wrong."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chat.client.proving import Prover
from chat.protocol.errors import ChatError
from chat.protocol.proof import check_proof

KEY = Ed25519PrivateKey.generate()
SERVER, SESSION = "ab" * 32, "a" * 32


def test_each_stream_has_a_proof_of_its_own() -> None:
    """That holds; without a server's certificate there is none."""
    prover = Prover(KEY, SESSION, lambda: 1000.0)
    proofs = [prover.prove("ana", SERVER) for _ in range(2)]
    ids = {check_proof(proof, "ana", [SERVER], SESSION, 1000.0).id for proof in proofs}
    assert len(ids) == 2
    assert prover.prove("ana", "") == ""


def test_clock_is_corrected_once_until_a_proof_was_taken() -> None:
    """A server that refuses whatever comes does not keep us trying."""
    prover = Prover(KEY, SESSION, lambda: 1000.0)
    with pytest.raises(ChatError):
        check_proof(prover.prove("ana", SERVER), "ana", [SERVER], SESSION, 9000.0)
    assert prover.correct_clock(9000.0)
    check_proof(prover.prove("ana", SERVER), "ana", [SERVER], SESSION, 9000.0)
    assert not prover.correct_clock(9000.0)
    prover.note_taken()
    assert prover.correct_clock(1000.0)
    check_proof(prover.prove("ana", SERVER), "ana", [SERVER], SESSION, 1000.0)
