"""Which servers a client trusts: those whose certificates it knows, or authorities vouch for.

As with SSH: the first time a person compares the fingerprint and says yes, from then on the
certificate must be the same. No name is checked then: the certificate itself is what is known.
Where the well-known authorities of this machine vouch for the certificate and its name, or those
that were given, nobody is asked. Knows no gRPC and no terminal; `connection.py` asks it before each
stream.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chat.cli.credentials import read_pair, vouched_for
from chat.cli.i18n import _
from chat.cli.system_errors import words_of
from chat.client.known_servers import Damaged, KnownServers
from chat.client.preflight import IsCancelled, Look, anybody, look
from chat.client.unreachable import USUAL_FLAGS, Unreachable, explain_failed_look
from chat.protocol.errors import ConfigError, UsageError
from chat.protocol.fingerprints import fingerprint, in_rows, parsed, spelled

if TYPE_CHECKING:
    from chat.cli.certificate_files import CertificatePair

# How long it may take to find out why a connection could not be made.
DIAGNOSIS_SECONDS = 3.0


@dataclass(frozen=True)
class Trusted:
    """What one stream trusts.

    `roots`: certificates (PEM), one of which the server's is, or is signed by. `name`: what it must
    be called; empty for the host of the address. `fingerprint`: of the server's own certificate, in
    hex digits. `own`: the client's certificate, if it has one. `peer`: where that was seen just now
    (`HOST:PORT`); empty: it is known from before. Of several machines behind one name each may have
    a certificate of its own.
    """

    roots: bytes
    name: str
    fingerprint: str
    own: CertificatePair | None = None
    peer: str = ""


class UnknownServer(ConfigError):
    """Nobody vouches for this `certificate` (DER), and it was never trusted here."""

    def __init__(self, address: str, certificate: bytes) -> None:
        text = _(
            "The certificate of {address} is not known here, and nobody can be asked about it."
            " Compare its fingerprint with the one the server printed, and pass it:"
            " --fingerprint {fingerprint}"
        )
        shown = spelled(fingerprint(certificate))
        super().__init__(text.format(address=address, fingerprint=shown))
        self.certificate = certificate


class Trust:
    """Whom a session trusts; give it to `Session` as its `credentials`.

    `authorities`: certificates (PEM), one of which must have signed the server's. Without them: a
    certificate with this `fingerprint` (in any spelling; one of several, with commas between them),
    else the one that is remembered for the address, else one that the authorities of this machine
    vouch for, else one that another server has shown that was trusted in this run. `own`: paths of
    the client's own certificate and its key (PEM). `flags`: those that have turned TLS on, for the
    sentence on a server that has none. Raises `UsageError`.

    One session at a time; in whichever thread.
    """

    def __init__(
        self,
        *,
        authorities: bytes | None = None,
        fingerprint: str = "",
        own: tuple[str, str] | None = None,
        known: KnownServers | None = None,
        flags: str = USUAL_FLAGS,
    ) -> None:
        if fingerprint and authorities is not None:
            raise UsageError(_("--fingerprint and --tls-ca exclude each other: give one of them."))
        self._authorities = authorities
        self._fingerprints = frozenset(map(parsed, fingerprint.split(",") if fingerprint else ()))
        if "" in self._fingerprints:
            raise UsageError(
                _("--fingerprint takes a SHA-256: 64 hex digits, as the server printed them.")
            )
        self._own_files = own
        self.own = read_pair(*own) if own else None
        self._known = known or KnownServers()
        self._flags = flags
        self._pinned: dict[str, bytes] = {}  # trusted in this run (DER), by address
        self._vouched_for: set[str] = set()  # in this run: nothing less will do from then on

    def check(self, address: str, is_cancelled: IsCancelled = lambda: False) -> Trusted:
        """Return what the next stream to `HOST:PORT` trusts. May block, some seconds at most.

        Raises `ConfigError` for a server that is not to be trusted, `UnknownServer` above all, and
        `Unreachable` where there is none.
        """
        if self._authorities is not None:
            seen = self._see(address, anybody(), is_cancelled)
            return self._seen(address, self._authorities, seen)
        pinned = self._pinned.get(address) or self._remembered(address)
        if pinned is None and not self._fingerprints:
            try:
                return self._look_for_authority(address, is_cancelled)
            except UnknownServer as unknown:
                if unknown.certificate not in self._pinned.values():
                    raise
                pinned = unknown.certificate
                self._known.remember(address, pinned)
        if pinned is None:
            pinned = self._with_fingerprint(address, is_cancelled)
        self._pinned[address] = pinned
        return self._trusted(_pem(pinned), _name_in(pinned, address), pinned)

    def establish(self, address: str, confirm: Callable[[str], bool] | None) -> None:
        """Find out in advance whether the server is to be trusted, as far as a person must say so.

        `confirm`: shows a text, asks yes or no, and returns the answer; None where nobody can be
        asked. Blocks, and raises what `check` does.
        """
        if self._authorities is not None:
            return
        try:
            self.check(address)
        except UnknownServer as unknown:
            if confirm is None:
                raise
            if not confirm(_question(address, unknown.certificate)):
                text = _("The certificate was not trusted. Nothing was sent.")
                raise ConfigError(text) from None
            self._pinned[address] = unknown.certificate
            self._known.remember(address, unknown.certificate)

    def knows(self, address: str) -> bool:
        """Say whether anything is remembered of a server; does not block."""
        return self._known.knows(address)

    def explain_mismatch(self, address: str, is_cancelled: IsCancelled) -> ConfigError | None:
        """Say what a server shows that did not have the certificate which was trusted.

        None where it cannot be seen, or is the trusted one after all.
        """
        if address not in self._pinned:
            return None
        try:
            seen = self._see(address, anybody(), is_cancelled, seconds=DIAGNOSIS_SECONDS)
        except Unreachable:
            return None
        certificate = seen.certificate
        is_trusted = certificate == self._pinned[address]
        return None if is_trusted else _changed(address, certificate)

    def is_refused(self, address: str, is_cancelled: IsCancelled) -> bool:
        """Say whether the server hangs up on the client's own certificate, or for want of one."""
        try:
            options = {"seconds": DIAGNOSIS_SECONDS, "wants_answer": True}
            return self._see(address, anybody(), is_cancelled, **options).is_refused
        except Unreachable:
            return False

    def _remembered(self, address: str) -> bytes | None:
        """Return the certificate that is remembered, unless a fingerprint says otherwise."""
        try:
            found = self._known.find(address)
        except Damaged:
            text = _(
                "What was kept of the certificate of {address} is damaged. Forget it, and compare"
                " the fingerprint anew: {command}"
            )
            raise ConfigError(
                text.format(address=address, command=forget_command(address))
            ) from None
        is_other = found and self._fingerprints and fingerprint(found) not in self._fingerprints
        return None if is_other else found

    def _with_fingerprint(self, address: str, is_cancelled: IsCancelled) -> bytes:
        """Return the server's certificate, if it has a given fingerprint; remember it."""
        seen = self._see(address, anybody(), is_cancelled).certificate
        if fingerprint(seen) not in self._fingerprints:
            text = _(
                "The certificate of {address} has a different fingerprint from what --fingerprint"
                " says:\n{fingerprint}\nAsk the server's owner which one is right;"
                " somebody may be listening in between."
            )
            shown = in_rows(fingerprint(seen))
            raise ConfigError(text.format(address=address, fingerprint=shown))
        self._known.remember(address, seen)
        return seen

    def _look_for_authority(self, address: str, is_cancelled: IsCancelled) -> Trusted:
        """Return the server's certificate if this machine's authorities vouch for it."""
        try:
            seen = self._see(address, vouched_for(), is_cancelled)
        except ssl.SSLCertVerificationError:
            seen = self._see(address, anybody(), is_cancelled)
            if address in self._vouched_for:
                raise _vouched_for_no_more(address, seen.certificate) from None
            raise UnknownServer(address, seen.certificate) from None
        self._vouched_for.add(address)
        return self._seen(address, _pem(seen.certificate), seen)

    def _see(
        self, address: str, context: ssl.SSLContext, is_cancelled: IsCancelled, **options: Any
    ) -> Look:
        """Look at a server as `see` does, with the client's own certificate, if it has one."""
        if self._own_files is not None:
            with suppress(OSError):  # they were readable, and hold what gRPC has got by now
                context.load_cert_chain(*self._own_files, password="")
        return see(address, context, is_cancelled, self._flags, **options)

    def _trusted(self, roots: bytes, name: str, certificate: bytes) -> Trusted:
        return Trusted(roots, name, fingerprint(certificate), self.own)

    def _seen(self, address: str, roots: bytes, seen: Look) -> Trusted:
        """Return what trusts the very machine that was seen, by the name in the address."""
        name = address.rpartition(":")[0].strip("[]")
        return Trusted(roots, name, fingerprint(seen.certificate), self.own, seen.peer)


def see(
    address: str,
    context: ssl.SSLContext,
    is_cancelled: IsCancelled,
    flags: str = USUAL_FLAGS,
    **options: Any,
) -> Look:
    """Look at a server (`preflight.look`); raises `Unreachable` with a sentence.

    Or `ssl.SSLCertVerificationError`, where `context` trusts the server not. `flags`: those that
    have turned TLS on.
    """
    try:
        return look(address, context, is_cancelled, **options)
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, ValueError) as error:
        raise explain_failed_look(address, error, flags) from error


def forget_command(address: str) -> str:
    """Return what to type so that the certificate of a server is forgotten."""
    is_package = Path(sys.argv[0]).stem == "chat-client"
    program = "chat-client" if is_package else "python client.py"
    return f"{program} {address} --forget-certificate"


def forget(address: str) -> str:
    """Forget the certificate of a server; return what became of that; raises `ConfigError`."""
    try:
        was_known = KnownServers().forget(address)
    except OSError as error:
        text = _("The certificate of {address} could not be forgotten: {error}.")
        raise ConfigError(text.format(address=address, error=words_of(error))) from error
    text = _("No certificate of {address} was remembered.")
    if was_known:
        text = _("The certificate of {address} is forgotten.")
    return text.format(address=address)


def _question(address: str, certificate: bytes) -> str:
    text = _(
        "The certificate of {address} is not known here.\n"
        "Its fingerprint (SHA-256) is\n"
        "{fingerprint}\n"
        "Compare it with the one the server printed when it started, or ask its owner.\n"
        "Is it the same (yes/no)? "
    )
    return text.format(address=address, fingerprint=in_rows(fingerprint(certificate)))


def _changed(address: str, certificate: bytes) -> ConfigError:
    text = _(
        "The certificate of {address} is not the one that was trusted before. Its owner may have"
        " made a new one, or somebody is listening in between. Ask the owner whether this is its"
        " fingerprint now:\n{fingerprint}\nOnly if so, forget the old one:\n  {command}"
    )
    shown = in_rows(fingerprint(certificate))
    return ConfigError(
        text.format(address=address, fingerprint=shown, command=forget_command(address))
    )


def _vouched_for_no_more(address: str, certificate: bytes) -> ConfigError:
    text = _(
        "No authority vouches any more for the certificate of {address}, whose fingerprint is now"
        "\n{fingerprint}\nSomebody may be listening in between; ask the server's owner."
    )
    shown = in_rows(fingerprint(certificate))
    return ConfigError(text.format(address=address, fingerprint=shown))


def _pem(certificate: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(certificate).encode()


def _name_in(certificate: bytes, address: str) -> str:
    """Return a name that the certificate is for: gRPC must find one, though nobody goes by it."""
    from chat.protocol.certified import any_name  # cryptography: only where there is TLS

    return any_name(certificate, address.rpartition(":")[0].strip("[]").lower())
