"""What must be installed: which sentence is said where it is not."""

from __future__ import annotations

import pytest

from chat.cli.dependencies import explain_import_error, missing_line


class VersionError(Exception):
    """As protobuf's `runtime_version` raises it."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError(name="grpc"), "gRPC is not installed. Type: "),
        (ModuleNotFoundError(name="google.protobuf"), "gRPC is not installed. Type: "),
        (ModuleNotFoundError(name="chat_pb2"), "chat_pb2.py is missing. Type, beside chat.proto: "),
        (ImportError(name="google.protobuf"), "too old. Type: "),
        (RuntimeError("The grpc package installed is at version 1.0"), "too old. Type: "),
        (VersionError("gencode 7 runtime 4"), "too old. Type: "),
    ],
    ids=repr,
)
def test_missing_module_is_a_sentence_with_a_command(error: Exception, words: str) -> None:
    """A command that can be typed as it is."""
    sentence = explain_import_error(error)
    assert words in sentence and sentence.count("\n") == 0
    assert " -m " in sentence


@pytest.mark.parametrize("error", [ModuleNotFoundError(name="chat.client.nowhere"), ValueError()])
def test_other_errors_are_for_programmers(error: Exception) -> None:
    """A typing error of ours must be seen where it is."""
    with pytest.raises(type(error)):
        explain_import_error(error)


def test_line_names_what_is_missing_once() -> None:
    """What is installed is not spoken of, and nothing is where nothing is missing."""
    features = {"sys": "nothing", "not_a_module": "comfort", "nor_this": "comfort"}
    line = missing_line(features)
    assert line.startswith("Running without comfort;") and "requirements.txt" in line
    assert missing_line({"sys": "nothing"}) == ""
