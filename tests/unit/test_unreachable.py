"""Why nobody can be talked to, in a sentence; what gRPC says is what it said (grpcio 1.85)."""

from __future__ import annotations

import grpc
import pytest
from fakes import FakeError

from chat.client.unreachable import explain_unreachable

ALL = "failed to connect to all addresses; last error: "
TLS = "Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1: OPENSSL_internal:"


@pytest.mark.parametrize(
    ("details", "words"),
    [
        (
            "errors resolving h:1: [field:hostname lookup error: Domain name not found]",
            "No machine",
        ),
        ("errors resolving h:1: [address lookup failed: Misformatted domain name]", "No machine"),
        ("DNS resolution failed for h:1: UNKNOWN", "No machine is called host."),
        ("errors resolving h:1: Timeout while contacting DNS servers", "no name server answers"),
        ("errors resolving h:1: [DNS query cancelled]", "no name server answers"),
        ("errors resolving h:1: Temporary failure in name resolution", "no name server answers"),
        ("errors resolving h:1: os_error: Name or service not known", "No machine is called host."),
        (f"{ALL}UNKNOWN: ipv4:1.2.3.4:1: tcp handshaker shutdown", "No chat server answers at"),
        (f"{ALL}UNKNOWN: ipv4:1.2.3.4:1: connect() timed out", "No chat server answers at"),
        (f"{ALL}connection attempt timed out before receiving SETTINGS frame", "No chat server"),
        (f"{ALL}Handshake read failed (Endpoint closing)", "No chat server answers at host:1"),
        (f"{ALL}Failed to connect to remote host: Connection refused", "No chat server answers"),
        (f"{ALL}UNAVAILABLE: ipv4:1.2.3.4:1: Socket closed", "whether it asks for --tls"),
        (f"{ALL}Failed parsing HTTP/2 (Expected SETTINGS frame)", "other than a chat server"),
        (f"{ALL}Failed to connect to remote host: No route to host", "no way to host:1"),
        (f"{ALL}connect failed: addr: ipv4:1.2.3.4:1 error: Network is unreachable", "no way to"),
        (f"{ALL}{TLS}WRONG_VERSION_NUMBER: Invalid context: OK", "host:1 does not speak TLS."),
        (f"{ALL}{TLS}CERTIFICATE_VERIFY_FAILED: self signed", "certificate of host:1 is not"),
        (f"{ALL}UNAUTHENTICATED: Hostname Verification Check failed.", "is for another name"),
        (f"{ALL}{TLS}UNSUPPORTED_PROTOCOL", "does not speak TLS, or its certificate"),
        ("something that a later version says", "No chat server answers at host:1"),
        ("", "No chat server answers at host:1"),
    ],
)
def test_it_is_a_sentence_that_says_what_to_check(details: str, words: str) -> None:
    """Nothing of gRPC's own words is shown."""
    sentence = explain_unreachable("host:1", FakeError(details=details))
    assert words in sentence and sentence.endswith(".")


def test_address_in_brackets_is_named_without_them_where_the_host_is_meant() -> None:
    """It is an address; who looks it up is another question."""
    sentence = explain_unreachable("[fe80::1%eth9]:1", FakeError(details="errors resolving it"))
    assert "No machine is called fe80::1%eth9." in sentence


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (grpc.StatusCode.UNKNOWN, "host:1 answers with an error (UNKNOWN)"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "answers with an error (RESOURCE_EXHAUSTED)"),
        (grpc.StatusCode.CANCELLED, "No chat server answers"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "No chat server answers"),
    ],
)
def test_status_says_whether_anybody_is_there(code: grpc.StatusCode, words: str) -> None:
    """A server whose own words happen to be those of gRPC is there nevertheless."""
    for details in ("wrong_version_number dns", "Locally cancelled by application!"):
        assert words in explain_unreachable("host:1", FakeError(code, details))
