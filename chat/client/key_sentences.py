"""What the user is told about keys: whose they are, by fingerprints that two people compare."""

from __future__ import annotations

from chat.cli.i18n import _
from chat.client import commands
from chat.client.sealing import Offer, Sealing
from chat.client.ui import render
from chat.protocol.sealing import fingerprint
from chat_pb2 import Message


def seal_word(message: Message, sealing: Sealing | None) -> str:
    """Return how a private message came, or went; empty where nothing can be sealed anyway."""
    if not message.to or (sealing is None and not message.sealed):
        return ""
    if message.sealed:
        return _("sealed") if message.message else _("not opened")
    return _("not sealed")


def sent_line(message: Message) -> str:
    """Return how a private message went that stands on the screen as it was typed."""
    to = render.name_sign(message.to)
    if message.sealed:
        return _("* Sealed for {name}.").format(name=to)
    return _("* Sent to {name} unsealed, since one of you has no key.").format(name=to)


def own_key_line(sealing: Sealing) -> str:
    """Return the line with the user's own fingerprint."""
    return _("* Your key: {fingerprint}").format(fingerprint=sealing.own_fingerprint)


def key_lines(name: str, offer: Offer, sealing: Sealing) -> list[str]:
    """Return what is told of the key of `name`, which the server hands out as `offer`."""
    sign, known = render.name_sign(name), sealing.known_fingerprint(name)
    if offer.is_broken:
        return [_("* The server gives no valid key for {name}.").format(name=sign)]
    offered = fingerprint(offer.signing_key) if offer.signing_key else ""
    if not known and not offered:
        return [_("* {name} has no key: what you write to them is not sealed.").format(name=sign)]
    lines = [own_key_line(sealing)]
    if known == offered:
        text = _("* Key of {name}: {fingerprint} (the one that you know)")
    elif not known:
        text = _("* Key of {name}: {fingerprint} (you have not used it yet)")
    elif not offered:
        text = _("* Key of {name}, as you know it: {known}. The server says that it has none now.")
    else:
        text = _("* Key of {name}, as you know it: {known}. The server gives another one now:")
    lines.append(text.format(name=sign, fingerprint=offered, known=known))
    if offered and known not in ("", offered):
        lines.append(f"* {offered}")
    if known not in ("", offered):
        lines.append(_warning(name))
    else:
        lines.append(_("* Compare both with the other person, aloud or face to face."))
    return lines


def _warning(name: str) -> str:
    """Return what it may mean that a key has changed, and what to do."""
    text = _(
        "* Until you accept it, nothing is sent to {name}, and nothing that it sealed is opened."
        " Ask the person first: it may be a new machine, or somebody else. To accept: {usage}"
    )
    word = f"[{render.shown_name(name)}] {_('accept')}"
    return text.format(name=render.name_sign(name), usage=f"{commands.KEY.typed} {word}")
