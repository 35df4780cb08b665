"""Sealed messages as bytes: what is bound, what is refused, what is seen of them."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import Box, PrivateKey, PublicKey
from strategies import cases

from chat.protocol import sealing
from chat.protocol.errors import ChatError
from chat.protocol.limits import (
    MAX_KEY_CHARACTERS,
    MAX_MESSAGE_BYTES,
    MAX_NAME_CHARACTERS,
    MAX_SEALED_BYTES,
    SEAL_STEP_BYTES,
)
from chat.protocol.sealing import (
    BUNDLE_BYTES,
    HEAD_BYTES,
    KEY_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    Bundle,
    KeyPair,
    check_bundle,
    fingerprint,
    fingerprint_of,
    is_sealed_size,
    key_pair,
    make_bundle,
    open_sealed,
    seal,
)
from chat_pb2 import KIND_ACTION, Message

# Of the signing key that is the bytes 0 to 31.
EXAMPLE_SEALING_KEY = "q6/Z3d8QJg3fllNZq+HJp/YMS/nf4P0duVjWCv8WYlY="
EXAMPLE_FINGERPRINT = "23493 70718 67662 19079 34145 68142 04583 51960"


def keys_from(seed: str) -> KeyPair:
    """Return the keys that a seed makes, the same in each run."""
    return key_pair(Ed25519PrivateKey.from_private_bytes(seed.encode().ljust(KEY_BYTES)))


ANA, BIA, MAL = keys_from("ana"), keys_from("bia"), keys_from("mal")


def bundle_of(keys: KeyPair, name: str) -> Bundle:
    return check_bundle(make_bundle(keys, name), name)


def sealed_message(text: str = "segredo", key: str = "k1") -> Message:
    """Return what bia gets when ana writes to her."""
    message = Message(user="ana", to="bia", key=key, message=text)
    message.sent_at.FromSeconds(1_700_000_000)
    message.sealed = seal(message, ANA, bundle_of(BIA, "bia"))
    message.message = ""
    return message


def boxed(writer: KeyPair, reader: KeyPair, padded: bytes) -> bytes:
    """Return a nonce and a box, as any other program makes them."""
    return bytes(Box(PrivateKey(writer.private), PublicKey(reader.public)).encrypt(padded))


def from_ana_to_bia(inner: bytes) -> Message:
    """Return what bia gets from a program of ana's that seals whatever it likes."""
    padded = inner + b"\x80" + bytes(SEAL_STEP_BYTES - len(inner) - 1)
    sealed = bytes([1]) + BIA.public + make_bundle(ANA, "ana") + boxed(ANA, BIA, padded)
    return Message(user="ana", to="bia", key="k1", sealed=sealed)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ChatError) as error:
        call()
    return error.value.reason


def test_what_is_sealed_is_opened_by_whom_it_is_for() -> None:
    """The text, and when it was sealed; by the key that the bundle in it has."""
    inner, sender = open_sealed(sealed_message("ol\u00e1 \N{GRINNING FACE}"), BIA)
    assert inner.message == "ol\u00e1 \N{GRINNING FACE}"
    assert inner.sent_at.seconds == 1_700_000_000
    assert sender.signing_key == ANA.signing_public


def test_names_are_those_that_count_as_the_same() -> None:
    """The server may spell them as their owners do."""
    message = sealed_message()
    message.user, message.to = "ANA", "Bia"
    assert open_sealed(message, BIA)[0].message == "segredo"


def test_same_text_is_never_sealed_to_the_same_bytes() -> None:
    """Whoever sees two of them cannot tell that they say the same."""
    assert sealed_message().sealed != sealed_message().sealed


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda m: setattr(m, "user", "mal"), "another sender"),
        (lambda m: setattr(m, "to", "mal"), "another addressee"),
        (lambda m: setattr(m, "key", "k2"), "another key"),
        (lambda m: setattr(m, "key", ""), "no key"),
        (lambda m: setattr(m, "to", ""), "no addressee"),
    ],
)
def test_who_carries_it_cannot_give_it_another_label(
    change: Callable[[Message], None], why: str
) -> None:
    """Neither as somebody else's words, nor once more under another key."""
    message = sealed_message()
    change(message)
    assert refusal(lambda: open_sealed(message, BIA)) == "SEAL_INVALID", why


def test_who_carries_it_cannot_give_it_another_senders_bundle() -> None:
    """Somebody may sign ana's sealing key as their own: the words stay hers."""
    message = sealed_message()
    signature = MAL.signing.sign(b"grpc-chat sealing key 1\nmal\n" + ANA.public)
    theirs = bytes([1]) + ANA.public + MAL.signing_public + signature
    assert check_bundle(theirs, "mal").sealing_key == ANA.public
    head = message.sealed[: 1 + KEY_BYTES]
    message.sealed = head + theirs + message.sealed[1 + KEY_BYTES + BUNDLE_BYTES :]
    message.user = "mal"
    assert refusal(lambda: open_sealed(message, BIA)) == "SEAL_INVALID"


def test_message_cannot_be_sent_back_to_its_writer_as_the_others() -> None:
    """The box between two is the same in both directions: the names in it are not."""
    message = sealed_message()
    back = message.sealed[HEAD_BYTES - NONCE_BYTES :]
    turned = bytes([1]) + ANA.public + make_bundle(BIA, "bia") + back
    for user, to in (("bia", "ana"), ("ana", "bia")):
        reflected = Message(user=user, to=to, key="k1", sealed=turned)
        assert refusal(partial(open_sealed, reflected, ANA)) == "SEAL_INVALID"


def test_writer_can_open_it_too() -> None:
    """Its echo may come when it is no longer known what was said."""
    inner, sender = open_sealed(sealed_message(), ANA)
    assert (inner.message, sender.signing_key) == ("segredo", ANA.signing_public)


def test_message_for_another_key_says_so() -> None:
    """It is not damaged: its reader's key was another one."""
    assert refusal(lambda: open_sealed(sealed_message(), MAL)) == "SEAL_OTHER_KEY"


def test_each_changed_bit_is_noticed() -> None:
    """In whatever part it is."""
    message = sealed_message()
    whole = message.sealed
    for place in [*range(0, HEAD_BYTES + TAG_BYTES, 7), HEAD_BYTES + TAG_BYTES + 5, len(whole) - 1]:
        message.sealed = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        assert refusal(lambda: open_sealed(message, BIA)) in ("SEAL_INVALID", "SEAL_OTHER_KEY")


@cases(30)
@given(st.binary(max_size=2 * SEAL_STEP_BYTES + HEAD_BYTES), st.integers(0, MAX_SEALED_BYTES))
def test_whatever_comes_is_refused_by_a_reason(noise: bytes, cut: int) -> None:
    """Noise, and what a hostile server has cut off or added to."""
    whole = sealed_message().sealed
    for sealed in (noise, whole[:cut] if cut < len(whole) else whole + b"\0", whole + noise[:1]):
        if sealed != whole:
            message = Message(user="ana", to="bia", key="k1", sealed=sealed)
            assert refusal(partial(open_sealed, message, BIA)).startswith("SEAL_")


@pytest.mark.parametrize(
    "inner",
    [
        b"\xff\xff",
        Message(user="ana", to="bia", key="k1").SerializeToString(),
        Message(user="ana", to="bia", key="k1", message=" \n").SerializeToString(),
        Message(user="ana", to="bia", key="k1", message="x", room="sala").SerializeToString(),
        Message(user="ana", to="bia", key="k1", message="x", kind=KIND_ACTION).SerializeToString(),
    ],
)
def test_what_its_writer_sealed_wrongly_is_refused(inner: bytes) -> None:
    """Not every program that seals is ours."""
    assert refusal(lambda: open_sealed(from_ana_to_bia(inner), BIA)) == "SEAL_INVALID"


def test_padding_without_an_end_is_refused() -> None:
    """As by a program that pads otherwise."""
    message = from_ana_to_bia(b"")
    message.sealed = message.sealed[: HEAD_BYTES - NONCE_BYTES] + boxed(ANA, BIA, bytes(256))
    assert refusal(lambda: open_sealed(message, BIA)) == "SEAL_INVALID"


def test_text_that_could_steer_a_terminal_is_cleaned() -> None:
    """No server stands between that would do it."""
    inner = Message(user="ana", to="bia", key="k1", message="oi\x1b[2J").SerializeToString()
    opened = open_sealed(from_ana_to_bia(inner), BIA)[0]
    assert opened.message == "oi\N{REPLACEMENT CHARACTER}[2J"


def test_lengths_are_those_of_whole_steps() -> None:
    """All short texts have one length; the longest of everything is within the limit."""
    short = {len(sealed_message("a" * length).sealed) for length in range(1, 200, 9)}
    assert short == {HEAD_BYTES + TAG_BYTES + SEAL_STEP_BYTES}
    name, key = "\N{GRINNING FACE}" * MAX_NAME_CHARACTERS, "\U0001f600" * MAX_KEY_CHARACTERS
    longest = Message(user=name, to=name, key=key, message="x" * MAX_MESSAGE_BYTES)
    longest.sent_at.GetCurrentTime()
    size = len(seal(longest, ANA, bundle_of(BIA, name)))
    assert size == MAX_SEALED_BYTES and is_sealed_size(size)
    longest.key *= 2
    assert refusal(lambda: seal(longest, ANA, bundle_of(BIA, name))) == "MESSAGE_TOO_LONG"


@pytest.mark.parametrize("size", [0, 1, 202, 203, 457, 459, MAX_SEALED_BYTES + SEAL_STEP_BYTES])
def test_other_lengths_are_of_nothing_sealed(size: int) -> None:
    """The server refuses them without a look inside."""
    assert not is_sealed_size(size)


def test_bundle_is_that_of_one_name() -> None:
    """And of its owner: neither the name nor a key in it can be exchanged."""
    raw = make_bundle(ANA, "Ana")
    assert len(raw) == BUNDLE_BYTES
    assert check_bundle(raw, "ana") == Bundle(ANA.public, ANA.signing_public, raw)
    swapped = raw[:1] + MAL.public + raw[1 + KEY_BYTES :]
    other_owner = raw[: 1 + KEY_BYTES] + MAL.signing_public + raw[1 + 2 * KEY_BYTES :]
    for bad in (swapped, other_owner, b"\2" + raw[1:], raw[:-1], raw + b"\0", b"", bytes(129)):
        assert refusal(partial(check_bundle, bad, "ana")) == "SEAL_INVALID"
    assert refusal(lambda: check_bundle(raw, "bia")) == "SEAL_INVALID"


def test_key_that_seals_nothing_is_refused() -> None:
    """Its owner may have signed 32 zeros: every secret would be the same."""
    zeros = Bundle(bytes(KEY_BYTES), MAL.signing_public, b"")
    message = Message(user="ana", to="mal", key="k", message="oi")
    assert refusal(lambda: seal(message, ANA, zeros)) == "SEAL_INVALID"


def test_signing_key_makes_the_same_sealing_key_on_each_machine() -> None:
    """Whoever has the one has the other; docs/protocol.md has this example."""
    keys = key_pair(Ed25519PrivateKey.from_private_bytes(bytes(range(KEY_BYTES))))
    assert base64.b64encode(keys.public).decode() == EXAMPLE_SEALING_KEY
    assert fingerprint(keys.signing_public) == EXAMPLE_FINGERPRINT


def test_fingerprint_is_groups_of_digits() -> None:
    """As they are read aloud; another key has another one."""
    groups = fingerprint(ANA.signing_public).split(" ")
    assert [len(group) for group in groups] == [5] * 8 and all(map(str.isdecimal, groups))
    assert fingerprint(BIA.signing_public).split(" ") != groups


def test_without_the_library_nothing_is_sealed_or_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a reason that says what is missing; never in the clear."""
    message, reader = sealed_message(), bundle_of(BIA, "bia")
    monkeypatch.setitem(sys.modules, "nacl", None)
    for module in [name for name in sys.modules if name.startswith("nacl.")]:
        monkeypatch.setitem(sys.modules, module, None)
    assert not sealing.is_available()
    assert refusal(lambda: open_sealed(message, BIA)) == "SEALING_MISSING"
    assert refusal(lambda: seal(message, ANA, reader)) == "SEALING_MISSING"


def test_what_people_compare_is_the_same_for_the_owner_of_a_name() -> None:
    """`--names` says it as `/key` does; a certified name has no key."""
    public = ANA.signing_public
    owner = base64.urlsafe_b64encode(public).decode().rstrip("=")
    assert fingerprint_of(owner) == fingerprint(public)
    assert fingerprint_of("certificate") == "certificate"
    assert fingerprint_of("@") == "@"
