"""The user's key, by which names are the user's own: made once, and kept in the state folder.

One key for all servers, Ed25519, as PEM (PKCS #8) that openssl reads as well. Whoever copies the
file to another machine is the same there. Knows no network; called in the main thread.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from chat.cli.folders import state_folder
from chat.cli.i18n import _
from chat.cli.regular_files import read_regular
from chat.cli.secret_files import publish, warn_if_others_can_read
from chat.cli.system_errors import words_of
from chat.protocol.errors import UsageError

KEY_FILE = "key.pem"
# Far more than a key takes.
MAX_FILE_BYTES = 1 << 20

_log = logging.getLogger(__name__)


def user_key(path: str | None = None) -> Ed25519PrivateKey | None:
    """Return the key in the file `path`; without one, the user's own, which is made if need be.

    None, with a warning, where there is no folder to keep one in. Raises `UsageError` for a file
    that cannot be read, or is no such key.
    """
    if path is not None:
        return read_key(path)
    folder = state_folder()
    if folder is None:
        return None
    own = folder / KEY_FILE
    try:
        if not os.path.lexists(own):
            _make(own)
    except OSError as error:
        text = _("No key can be kept in {path} ({error}): no name here will be your own.")
        _log.warning("%s", text.format(path=own, error=words_of(error)))
        return None
    return read_key(str(own), is_own=True)


def read_key(path: str, is_own: bool = False) -> Ed25519PrivateKey:
    """Return the key in a file; raises `UsageError`. Others who can read it are told of.

    `is_own`: the program's own file, and no pipe that the user has named.
    """
    try:
        content = read_regular(Path(path), MAX_FILE_BYTES) if is_own else Path(path).read_bytes()
        key = load_pem_private_key(content, None)
    except FileNotFoundError as error:
        text = _("There is no key {path}. Give its path; without --key-file your own is used.")
        raise UsageError(text.format(path=path)) from error
    except OSError as error:
        text = _(
            "The key {path} cannot be read ({error}). Allow yourself to read it, or give another."
        )
        raise UsageError(text.format(path=path, error=words_of(error))) from error
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None  # damaged, encrypted, or of a sort that nobody has here
    if not isinstance(key, Ed25519PrivateKey):
        text = _(
            "{path} is not a key of this program. Put back your copy of it; without one, remove it:"
            " another key is made then, and names that were yours are not any more."
        )
        raise UsageError(text.format(path=path))
    warn_if_others_can_read(path)
    return key


def _make(path: Path) -> None:
    """Make a key, in a file that comes into being whole, and never takes the place of another.

    Of two programs that do so at a time, one finds that the other has. Raises `OSError`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    publish(path, pem)
