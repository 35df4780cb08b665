"""Whose a client's certificate is: the name in it, by the one rule that both sides go by.

The first alternative name of the subject (RFC 5280, 4.2.1.6) that is a DNS name, an e-mail address
or text, in the order of the certificate; where it has none of these, the common name, the last of
several (the most specific: RFC 2818, 3.1). Text is what has letters beyond ASCII in it: a UTF-8
mailbox (RFC 9598), or the name of an account (Microsoft's UPN).
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import UnsupportedGeneralNameType as UnsupportedName
from cryptography.x509.oid import NameOID

# What `x509` raises for certificates that are damaged, or odder than it takes.
UNREADABLE = (ValueError, x509.DuplicateExtension, x509.InvalidVersion, UnsupportedName)
PEM_MARK = b"-----BEGIN CERTIFICATE-----"
UTF8_STRING = 0x0C  # its tag in DER (X.690, 8.23)
# Longer ones have their length in more than one byte, and no name is as long.
MAX_SHORT_BYTES = 127


def name_in(certificate: bytes) -> str:
    """Return the name in a certificate (PEM, the first of several, or DER).

    As it stands there: `names.check_name` says whether it can be one here. Empty where there is
    none, or what is given is no certificate.
    """
    try:
        if PEM_MARK in certificate:
            found = x509.load_pem_x509_certificate(certificate)
        else:
            found = x509.load_der_x509_certificate(certificate)
        return _alternative_name(found) or _common_name(found)
    except UNREADABLE:
        return ""


def _alternative_name(certificate: x509.Certificate) -> str:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ""
    return next(filter(None, map(_text_of, extension.value)), "")


def _text_of(name: x509.GeneralName) -> str:
    """Return a general name that may be a person's, else an empty text."""
    if isinstance(name, (x509.DNSName, x509.RFC822Name)):
        return name.value
    if isinstance(name, x509.OtherName):
        head, content = name.value[:2], name.value[2:]
        if len(content) <= MAX_SHORT_BYTES and head == bytes([UTF8_STRING, len(content)]):
            return content.decode("utf-8", "replace")
    return ""


def _common_name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[-1].value) if found else ""


def any_name(certificate: bytes, wanted: str) -> str:
    """Return `wanted` if a certificate (DER) is for that host, else any host that it is for.

    Empty where it is for none.
    """
    try:
        leaf = x509.load_der_x509_certificate(certificate)
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return _common_name(leaf)
    except UNREADABLE:
        return ""
    names = [name.replace("*", "any", 1) for name in found.get_values_for_type(x509.DNSName)]
    names += [str(ip) for ip in found.get_values_for_type(x509.IPAddress)]
    return wanted if wanted in names else next(iter(names), "") or _common_name(leaf)


def der_of(pem: bytes) -> bytes:
    """Return the first certificate in a PEM as DER; raises `ValueError` where there is none."""
    try:
        return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    except UNREADABLE as error:
        raise ValueError from error
