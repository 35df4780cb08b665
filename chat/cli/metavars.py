"""What the values of flags are called in `--help`, in the user's language."""

from __future__ import annotations

from typing import Any

from chat.cli.i18n import N_, _

# The most common ones, by the flag; another flag's value is called as the flag is.
FILE, NAME, NUMBER = N_("FILE"), N_("NAME"), N_("NUMBER")
NAMES = {
    "name": NAME,
    "room": N_("ROOM"),
    "history": NUMBER,
    "tls-ca": FILE,
    "tls-cert": FILE,
    "tls-key": FILE,
    "tls-client-ca": FILE,
    "key-file": FILE,
    "token-file": FILE,
    "db": FILE,
    "backup": FILE,
    "operators": FILE,
    "audit": FILE,
    "cluster-ca": FILE,
    "cluster-cert": FILE,
    "cluster-key": FILE,
    "cluster-creds": FILE,
    "cluster": N_("ADDRESS"),
    "host": N_("ADDRESS"),
    "port": N_("PORT"),
    "retain": N_("DAYS"),
    "max-clients": NUMBER,
    "max-per-address": NUMBER,
    "rate": NUMBER,
    "replicas": NUMBER,
    "fingerprint": N_("FINGERPRINT"),
}
# Those that are said where a flag is made.
OTHERS = (N_("TEXT"), N_("[HOST:]PORT"))


def translate(key: str, options: dict[str, Any]) -> None:
    """Say in a flag's options what its value is called; `key`: the flag without its signs."""
    if "choices" not in options and (name := options.get("metavar") or NAMES.get(key)):
        options["metavar"] = _(name)
