"""The proof that a name is one's own: a short-lived token, signed with the owner's key.

A JSON Web Token (RFC 7519) with EdDSA (RFC 8037). Its header carries the public key, as DPoP has
it (RFC 9449), so that a server can take the first one for that of a name's owner. It is bound to
the server's certificate, the name and the session: neither another server nor another name can use
it. Knows no gRPC; any thread may call anything.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import OKPAlgorithm

from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_SKEW_SECONDS, PROOF_SECONDS
from chat.protocol.names import name_key

ALGORITHM = "EdDSA"
TYPE = "chat-proof+jwt"
MAX_PROOF_CHARACTERS = 2048
_CLAIMS = ["iat", "exp", "aud", "sub", "sid", "jti"]


@dataclass(frozen=True)
class Proof:
    """What a proof says that holds: `owner`, the public key (base64url); `id`, its own."""

    owner: str
    id: str


def make_proof(
    key: Ed25519PrivateKey, name: str, server: str, session: str, now_seconds: float
) -> str:
    """Return the proof that `name` is that of the owner of `key`, for one stream.

    `server`: the SHA-256 fingerprint of its certificate, in hex digits. `now_seconds`: since 1970.
    """
    public = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    claims = {
        "iat": int(now_seconds),
        "exp": int(now_seconds + PROOF_SECONDS),
        "aud": server.lower(),
        "sub": name_key(name),
        "sid": session,
        "jti": secrets.token_hex(16),
    }
    return jwt.encode(claims, key, ALGORITHM, {"typ": TYPE, "jwk": public})


def check_proof(
    token: str, name: str, servers: Collection[str], session: str, now_seconds: float
) -> Proof:
    """Return what a proof says; raises PROOF_INVALID where it does not hold.

    `servers`: the fingerprints of the certificates that the server has, or had a moment ago.
    """
    try:
        if len(token) > MAX_PROOF_CHARACTERS:
            raise jwt.InvalidTokenError
        header = jwt.get_unverified_header(token)
        if header.get("typ") != TYPE:
            raise jwt.InvalidTokenError
        public: Any = OKPAlgorithm.from_jwk(header["jwk"])
        if not isinstance(public, Ed25519PublicKey):  # a private key, or another curve
            raise jwt.InvalidTokenError
        options: Any = {"require": _CLAIMS, "verify_iat": False, "verify_exp": False}
        claims = jwt.decode(token, public, [ALGORITHM], options, audience=list(servers))
        begins, ends = float(claims["iat"]), float(claims["exp"])
        is_now = begins - MAX_SKEW_SECONDS <= now_seconds < ends + MAX_SKEW_SECONDS
        is_ours = claims["sub"] == name_key(name) and claims["sid"] == session
        if not (is_now and is_ours and ends - begins <= PROOF_SECONDS):
            raise jwt.InvalidTokenError
        return Proof(_owner_of(public), str(claims["jti"]))
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        raise ChatError("PROOF_INVALID") from None


def _owner_of(public: Ed25519PublicKey) -> str:
    return str(OKPAlgorithm.to_jwk(public, as_dict=True)["x"])
