"""The client's part in sealed messages: whose key is asked, trusted and used, and what is opened.

The outbox asks, for each private message that is next, what goes up in its place: a question for
the key, the message sealed, or, where one of the two has no key, the message as it is. The receiver
hands over the answers and what comes in. Knows no gRPC, and neither of those two.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chat.client.pins import KnownKeys
from chat.protocol.errors import ChatError
from chat.protocol.names import check_name, name_key
from chat.protocol.sealing import (
    Bundle,
    check_bundle,
    fingerprint,
    is_available,
    key_pair,
    make_bundle,
    open_sealed,
    seal,
)
from chat_pb2 import KIND_KEY, KIND_NOTICE, KIND_UNSPECIFIED, Message

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# So long what was said waits behind a private message whose key is asked for; then it goes past.
ANSWER_SECONDS = 10.0
# Names whose keys are known in one stream; of very many the first are asked for again.
MAX_OFFERS = 1000
# Messages that are remembered, so that none is taken for new a second time.
MAX_OPENED = 10_000
# What came sealed with a key that is not accepted yet, of all names.
MAX_CLOSED = 100
# Keys of messages that went in the clear, and stay so when they are sent again.
MAX_CLEAR = 10_000
# A message that its sender says to have sealed so long before the server got it shows that time:
# a server could have kept it, or have brought it before.
LATE_SECONDS = 600


@dataclass(frozen=True)
class Offer:
    """What a server hands out as the key of a name: `bundle`, None where it says there is none.

    `is_broken`: something that is no key of that name.
    """

    bundle: Bundle | None = None
    is_broken: bool = False

    @property
    def signing_key(self) -> bytes | None:
        """The owner's public key."""
        return self.bundle.signing_key if self.bundle else None


class Sealing:
    """One person's keys, and what is known of other people's.

    `signing_key`: proves that the user's name is their own. `pins`: of that chat.

    `_lock` guards every attribute: the generator of a stream seals, the receive thread opens, the
    main thread asks and accepts. `pins` has a lock of its own.
    """

    def __init__(self, signing_key: Ed25519PrivateKey, pins: KnownKeys) -> None:
        self._keys = key_pair(signing_key)
        self._pins = pins
        self._lock = threading.Lock()
        self._name = ""
        self._is_published: bool | None = None  # in the present stream; None: no answer yet
        self._publication = ""  # the key under which that was wished for
        self._questions: deque[Message] = deque()  # not sent yet
        self._asked: dict[str, Message] = {}  # not answered yet, by key
        self._asked_at: dict[str, float] = {}  # when the stream took it, monotonic, by key
        self._offers: OrderedDict[str, Offer] = OrderedDict()  # in the present stream, by name
        self._shown: dict[str, Offer] = {}  # to the user, who may accept them
        self._clear: OrderedDict[str, None] = OrderedDict()
        self._opened: OrderedDict[bytes, None] = OrderedDict()
        self._closed: deque[Message] = deque(maxlen=MAX_CLOSED)

    # The stream.

    def begin_stream(self, name: str) -> None:
        """Begin anew: this server may be another one, or hand out other keys than before."""
        with self._lock:
            self._questions.clear()
            self._asked.clear()
            self._asked_at.clear()
            self._offers.clear()
            self._publish(name)

    def take_name(self, name: str) -> None:
        """Note that the user is called `name` from now on."""
        with self._lock:
            self._publish(name)

    def _publish(self, name: str) -> None:
        """Have the user's key sent, so that others can seal for them."""
        self._name = name
        # Who cannot open what is sealed asks nobody to seal; but does not send in the clear either.
        self._is_published = None if is_available() else True
        if self._is_published is None:
            self._publication = self._ask(Message(sealed=make_bundle(self._keys, name)))

    def _ask(self, question: Message) -> str:
        question.kind, question.key = KIND_KEY, secrets.token_hex(12)
        self._questions.append(question)
        self._asked[question.key] = question
        return question.key

    # What goes up; the outbox calls it.

    def has_question(self, message: Message | None) -> bool:
        """Say whether something is to be asked, before `message` can go or at all."""
        with self._lock:
            if message is not None and self._is_unknown(message) and self._is_published:
                is_asked = any(name_key(q.to) == name_key(message.to) for q in self._asked.values())
                if not is_asked:
                    self._ask(Message(to=message.to))
            return bool(self._questions)

    def next_question(self) -> Message:
        """Return what is to be asked next."""
        with self._lock:
            question = self._questions.popleft()
            self._asked_at[question.key] = time.monotonic()
            return question

    def patience(self, message: Message) -> float | None:
        """Return for how many seconds more others wait behind a message; 0: they go past it.

        None: it waits for no answer.
        """
        with self._lock:
            if not self._is_unknown(message):
                return None
            to = name_key("" if self._is_published is None else message.to)
            asked_at = [
                self._asked_at.get(k) for k, q in self._asked.items() if name_key(q.to) == to
            ]
        if not asked_at or asked_at[-1] is None:
            return None
        return max(0.0, asked_at[-1] + ANSWER_SECONDS - time.monotonic())

    def is_held(self, message: Message) -> bool:
        """Say whether a message must wait: for a key, or to be given up."""
        with self._lock:
            return self._is_unknown(message) or bool(self._refusal(message))

    def check(self, message: Message) -> None:
        """Raise `ChatError` for a message that is known not to be sent: see `_refusal`."""
        with self._lock:
            reason = "" if self._is_unknown(message) else self._refusal(message)
        if reason:
            raise ChatError(reason)

    def envelope(self, message: Message) -> Message | None:
        """Return what goes up in place of `message`; None where it must wait, after all.

        `sealed` of the message itself says from then on whether it is sealed.
        """
        with self._lock:
            message.ClearField("sealed")
            if not _is_private(message):
                return message
            if self._is_unknown(message) or self._refusal(message):
                return None
            reader = self._offers.get(name_key(message.to), Offer()).bundle
            if reader is None or not self._is_published or message.key in self._clear:
                _remember(self._clear, message.key, MAX_CLEAR)
                return message
            inner = Message(user=self._name, to=check_name(message.to), key=message.key)
            inner.message = message.message
            inner.sent_at.GetCurrentTime()
            message.sealed = seal(inner, self._keys, reader)
            return Message(to=message.to, key=message.key, sealed=message.sealed)

    def _is_unknown(self, message: Message) -> bool:
        """Say whether it is not known yet if, and how, a message is to be sealed."""
        if not _is_private(message) or not _is_name(message.to):
            return False
        if self._is_published is None:
            return True
        return self._is_published and name_key(message.to) not in self._offers

    def _refusal(self, message: Message) -> str:
        """Return why a message is not sent, empty where it is.

        Nothing goes in the clear to a name that is known to have a key, whatever the server says.
        """
        if not _is_private(message):
            return ""
        if not self._is_published:
            return "NO_OWN_KEY" if self._pins.find(message.to) else ""
        offer = self._offers.get(name_key(message.to), Offer())
        if offer.is_broken:
            return "KEY_BROKEN"
        if offer.bundle is None:
            return "KEY_GONE" if self._pins.find(message.to) else ""
        if not is_available():
            return "SEALING_MISSING"
        return self._distrust(message.to, offer.bundle, self._pins.find_or_add)

    def _distrust(self, name: str, bundle: Bundle, known: Callable[[str, bytes], bytes]) -> str:
        """Return why a key is not used, empty where it is; the first one of a name is.

        `known`: what keeps that, of `Pins`.
        """
        if bundle.signing_key == self._keys.signing_public:
            return ""
        try:
            is_known = known(name, bundle.signing_key) == bundle.signing_key
        except ChatError as error:
            return error.reason
        return "" if is_known else "KEY_CHANGED"

    # What comes in; the receiver calls it.

    def take_answer(self, answer: Message) -> bool:
        """Take the answer to a question of our own; say whether it was one."""
        if answer.kind not in (KIND_KEY, KIND_NOTICE):
            return False
        with self._lock:
            question = self._asked.pop(answer.key, None)
            self._asked_at.pop(answer.key, None)
            if question is None:
                return False
            is_answered = answer.kind == KIND_KEY
            if question.to:
                self._note(question.to, answer.sealed if is_answered else b"")
            elif question.key == self._publication:
                self._is_published = is_answered
            return True

    def take_offer(self, name: str, answer: Message) -> None:
        """Take the answer to a question of the user's; its text becomes the fingerprint."""
        with self._lock:
            offer = self._note(name, answer.sealed)
        answer.message = fingerprint(offer.signing_key) if offer.signing_key else ""

    def forget_offer(self, name: str) -> None:
        """Have the key of a name asked for anew: it is another one by now."""
        with self._lock:
            self._offers.pop(name_key(name), None)

    def _note(self, name: str, raw: bytes) -> Offer:
        offer = Offer()
        if raw:
            try:
                offer = Offer(check_bundle(raw, name))
                # A key that nothing can be sealed for would be found out too late.
                if is_available() and offer.bundle:
                    seal(Message(user=self._name, to=name), self._keys, offer.bundle)
            except ChatError:
                offer = Offer(is_broken=True)
        self._offers.pop(name_key(name), None)
        _remember(self._offers, name_key(name), MAX_OFFERS, offer)
        return offer

    def open(self, message: Message) -> bool:
        """Put what is sealed in a message into its text; say whether it is new.

        The text stays empty where it cannot be opened: see `why_closed`.
        """
        with self._lock:
            digest = hashlib.sha256(message.sealed).digest()
            if digest in self._opened:
                return False
            if self._open(message) == "KEY_CHANGED":
                kept = Message()
                kept.CopyFrom(message)
                self._closed.append(kept)
            elif message.message:
                _remember(self._opened, digest, MAX_OPENED)
            return True

    def why_closed(self, message: Message) -> str:
        """Return the reason for which a message was not opened."""
        with self._lock:
            attempt = Message()
            attempt.CopyFrom(message)
            return self._open(attempt) or "SEAL_INVALID"

    def _open(self, message: Message) -> str:
        try:
            inner, sender = open_sealed(message, self._keys)
        except ChatError as error:
            return error.reason
        if reason := self._distrust(message.user, sender, self._pins.find_or_meet):
            return reason
        message.message = inner.message
        if inner.sent_at.seconds < message.sent_at.seconds - LATE_SECONDS:
            message.sent_at.CopyFrom(inner.sent_at)
        return ""

    # What the user sees and decides.

    @property
    def own_fingerprint(self) -> str:
        """Of the user's own key, in groups of digits."""
        return fingerprint(self._keys.signing_public)

    def known_fingerprint(self, name: str) -> str:
        """Of the key that a name is known to have, empty where none is known."""
        known = self._pins.find(name)
        return fingerprint(known) if known else ""

    def show_offer(self, name: str) -> Offer:
        """Return what the server hands out as the key of a name; it may be accepted from now on."""
        with self._lock:
            offer = self._offers.get(name_key(name), Offer())
            self._shown[name_key(name)] = offer
            return offer

    def accept(self, name: str) -> list[Message] | None:
        """Trust the key that was shown; return what came sealed with it, opened.

        None where none was shown in this stream. Raises KEY_BROKEN.
        """
        with self._lock:
            offer = self._shown.pop(name_key(name), None)
            if offer is None:
                return None
            if offer.is_broken:
                raise ChatError("KEY_BROKEN")
            self._pins.replace(name, offer.signing_key)
            waiting = [m for m in self._closed if name_key(m.user) == name_key(name)]
            for message in waiting:
                self._closed.remove(message)
        return [message for message in waiting if self.open(message)]


def _is_private(message: Message) -> bool:
    return bool(message.to) and message.kind == KIND_UNSPECIFIED


def _is_name(name: str) -> bool:
    """Say whether anybody can be called so."""
    try:
        return bool(check_name(name))
    except ChatError:
        return False


def _remember(known: OrderedDict[Any, Any], key: object, most: int, value: object = None) -> None:
    """Note something, and forget the oldest of too many."""
    known[key] = value
    if len(known) > most:
        known.popitem(last=False)
