"""Sealed private messages: only the two people can read them, not the server that carries them.

A name's owner has a signing key (Ed25519, see `proof.py`), and a sealing key (X25519) made of it.
A *bundle* is the public halves of both, with a signature that binds the sealing key to the name.
A sealed message is PyNaCl's `Box` (X25519, XSalsa20, Poly1305) around a padded `Message` that says
once more who writes to whom, under which key and when: whoever carries it can neither show it as
somebody else's, nor to somebody else, nor under another key. `docs/protocol.md` has every byte.

Knows no files and no gRPC; any thread may call anything. PyNaCl and cryptography are imported where
they are used: without them everything else works.
"""

from __future__ import annotations

import base64
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_SEALED_BYTES, SEAL_STEP_BYTES
from chat.protocol.names import name_key
from chat.protocol.text import check_message
from chat_pb2 import Message

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

VERSION = 1
# What is signed, derived and hashed begins so: none of it means anything elsewhere.
DOMAIN = b"grpc-chat sealing key 1"
KEY_BYTES = 32
SIGNATURE_BYTES = 64
NONCE_BYTES = 24
TAG_BYTES = 16  # of the box
BUNDLE_BYTES = 1 + 2 * KEY_BYTES + SIGNATURE_BYTES
# The version, the key that it is sealed for, the sender's bundle and the nonce.
HEAD_BYTES = 1 + KEY_BYTES + BUNDLE_BYTES + NONCE_BYTES
# The fields of what is sealed; more than these is none of ours.
INNER_FIELDS = frozenset(("user", "message", "sent_at", "key", "to"))
# Eight groups of five digits are 132 bits, and can be read aloud in any language.
FINGERPRINT_GROUPS = 8
FINGERPRINT_MODULUS = 100_000
BYTES_OF_A_GROUP = 5  # much more than five digits: each of them is as likely as any other


@dataclass(frozen=True)
class Bundle:
    """The public keys of a name's owner, X25519 and Ed25519; `raw`: as they are handed out."""

    sealing_key: bytes
    signing_key: bytes
    raw: bytes


@dataclass(frozen=True)
class KeyPair:
    """An owner's own keys: `signing`, and `private`, that of X25519, which is made of it."""

    signing: Ed25519PrivateKey
    private: bytes

    @property
    def public(self) -> bytes:
        """The public key of X25519."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        return X25519PrivateKey.from_private_bytes(self.private).public_key().public_bytes_raw()

    @property
    def signing_public(self) -> bytes:
        """The public key of Ed25519, which is the owner's."""
        return self.signing.public_key().public_bytes_raw()


def is_available() -> bool:
    """Say whether the library is there without which nothing can be sealed or opened."""
    return find_spec("nacl") is not None


def key_pair(signing: Ed25519PrivateKey) -> KeyPair:
    """Return the keys of the owner of a signing key: the same on each machine that has it.

    The key of X25519 is HKDF (RFC 5869, SHA-256, no salt) of the private key of Ed25519.
    """
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derivation = HKDF(SHA256(), length=KEY_BYTES, salt=None, info=DOMAIN)
    return KeyPair(signing, derivation.derive(signing.private_bytes_raw()))


def fingerprint(signing_key: bytes) -> str:
    """Return what two people compare: the owner's public key (Ed25519), as groups of digits."""
    digest = hashlib.sha512(DOMAIN + signing_key).digest()
    starts = range(0, FINGERPRINT_GROUPS * BYTES_OF_A_GROUP, BYTES_OF_A_GROUP)
    chunks = (digest[start : start + BYTES_OF_A_GROUP] for start in starts)
    return " ".join(f"{int.from_bytes(c, 'big') % FINGERPRINT_MODULUS:05}" for c in chunks)


def fingerprint_of(owner: str) -> str:
    """Return what people compare of an owner's public key in base64url (`proof.Proof.owner`).

    Of what is no such key (a certified name has none) the text itself.
    """
    with suppress(ValueError):
        raw = base64.urlsafe_b64decode(owner + "=")
        if len(raw) == KEY_BYTES:
            return fingerprint(raw)
    return owner


# Bundles.


def make_bundle(keys: KeyPair, name: str) -> bytes:
    """Return the bundle of `name`, which is the keys' owner's own."""
    signature = keys.signing.sign(_signed_text(name, keys.public))
    return bytes([VERSION]) + keys.public + keys.signing_public + signature


def split_bundle(raw: bytes) -> Bundle:
    """Return the keys in a bundle, whose signature was not looked at; raises SEAL_INVALID."""
    if len(raw) != BUNDLE_BYTES or raw[0] != VERSION:
        raise ChatError("SEAL_INVALID")
    signing_at = 1 + KEY_BYTES
    return Bundle(raw[1:signing_at], raw[signing_at : signing_at + KEY_BYTES], raw)


def check_bundle(raw: bytes, name: str) -> Bundle:
    """Return the keys in a bundle that is that of `name`; raises SEAL_INVALID for any other."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    bundle = split_bundle(raw)
    try:
        owner = Ed25519PublicKey.from_public_bytes(bundle.signing_key)
        owner.verify(raw[-SIGNATURE_BYTES:], _signed_text(name, bundle.sealing_key))
    except (InvalidSignature, ValueError):
        raise ChatError("SEAL_INVALID") from None
    return bundle


def _signed_text(name: str, sealing_key: bytes) -> bytes:
    """Return what the owner signs; the key at its end has always the same length."""
    return b"\n".join((DOMAIN, name_key(name).encode(), sealing_key))


# Messages.


def is_sealed_size(size_bytes: int) -> bool:
    """Say whether a sealed message can have so many bytes."""
    padded = size_bytes - HEAD_BYTES - TAG_BYTES
    return padded > 0 and padded % SEAL_STEP_BYTES == 0 and size_bytes <= MAX_SEALED_BYTES


def recipient_of(sealed: bytes) -> bytes:
    """Return the key (X25519) that a message says to be sealed for."""
    return sealed[1 : 1 + KEY_BYTES]


def sender_of(sealed: bytes) -> bytes:
    """Return the bundle in a message, of whoever says to have sealed it."""
    return sealed[1 + KEY_BYTES : HEAD_BYTES - NONCE_BYTES]


def seal(message: Message, keys: KeyPair, reader: Bundle) -> bytes:
    """Return what only `reader` can open: `user`, `to`, `key`, `message` and `sent_at`, sealed.

    `keys`: those of `message.user`. Raises MESSAGE_TOO_LONG; SEAL_INVALID for a reader's key that
    none can be sealed for.
    """
    inner = Message(user=message.user, to=message.to, key=message.key, message=message.message)
    inner.sent_at.CopyFrom(message.sent_at)
    head = bytes([VERSION]) + reader.sealing_key + make_bundle(keys, message.user)
    sealed = head + _encrypt(keys.private, reader.sealing_key, _padded(inner.SerializeToString()))
    if len(sealed) > MAX_SEALED_BYTES:
        raise ChatError("MESSAGE_TOO_LONG")
    return sealed


def open_sealed(message: Message, keys: KeyPair) -> tuple[Message, Bundle]:
    """Return what was sealed in `message`, and by whom; whether to trust that key is not asked.

    The box is the same from both ends: whoever wrote it can open it too. Raises SEAL_OTHER_KEY
    where it was sealed for another key, SEAL_INVALID where it is damaged, or was not written by
    `message.user` to `message.to` under `message.key`.
    """
    sealed = message.sealed
    if not is_sealed_size(len(sealed)) or sealed[0] != VERSION:
        raise ChatError("SEAL_INVALID")
    reader, writer = recipient_of(sealed), split_bundle(sender_of(sealed)).sealing_key
    if keys.public not in (reader, writer):
        raise ChatError("SEAL_OTHER_KEY")
    sender = check_bundle(sender_of(sealed), message.user)
    other = writer if reader == keys.public else reader
    padded = _decrypt(keys.private, other, sealed[HEAD_BYTES - NONCE_BYTES :])
    inner = _inner_of(_unpadded(padded))
    if not _is_same(inner, message):
        raise ChatError("SEAL_INVALID")
    return inner, sender


def _inner_of(raw: bytes) -> Message:
    try:
        inner = Message.FromString(raw)
        inner.message = check_message(inner.message)
    except (DecodeError, ChatError):
        raise ChatError("SEAL_INVALID") from None
    if not {field.name for field, _value in inner.ListFields()} <= INNER_FIELDS:
        raise ChatError("SEAL_INVALID")
    return inner


def _is_same(inner: Message, outer: Message) -> bool:
    """Say whether it comes as it was sent: from whom, to whom, under which key."""
    has_names = name_key(inner.user) == name_key(outer.user) != ""
    is_addressed = name_key(inner.to) == name_key(outer.to) != ""
    return has_names and is_addressed and inner.key == outer.key != ""


def _padded(text: bytes) -> bytes:
    """Return `text` with a 1 bit and as many 0 bits as it takes (ISO/IEC 7816-4)."""
    text += b"\x80"
    return text + bytes(-len(text) % SEAL_STEP_BYTES)


def _unpadded(padded: bytes) -> bytes:
    text = padded.rstrip(b"\0")
    if not text.endswith(b"\x80"):
        raise ChatError("SEAL_INVALID")
    return text[:-1]


def _encrypt(private: bytes, public: bytes, text: bytes) -> bytes:
    """Return the nonce, a random one, and the box around `text`."""
    box, error = _box(private, public)
    try:
        return bytes(box.encrypt(text))
    except error:
        raise ChatError("SEAL_INVALID") from None


def _decrypt(private: bytes, public: bytes, sealed: bytes) -> bytes:
    box, error = _box(private, public)
    try:
        return bytes(box.decrypt(sealed))
    except error:
        raise ChatError("SEAL_INVALID") from None


def _box(private: bytes, public: bytes) -> tuple[Any, type[Exception]]:
    """Return the box between two keys, and what it raises; raises SEALING_MISSING, SEAL_INVALID."""
    try:
        from nacl.exceptions import CryptoError
        from nacl.public import Box, PrivateKey, PublicKey
    except ImportError:
        raise ChatError("SEALING_MISSING") from None
    try:
        return Box(PrivateKey(private), PublicKey(public)), CryptoError
    except CryptoError:  # of all private keys the product with such a public one is 0
        raise ChatError("SEAL_INVALID") from None
