"""What the system says of files, in the user's language."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chat.cli import i18n as language
from chat.cli.secret_files import read_file
from chat.cli.system_errors import in_other_words, words_of
from chat.client.keys import read_key
from chat.protocol.errors import UsageError
from chat.server.log.base import LogError, Problem
from chat.server.log_sentences import explain_log_error


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere", "o arquivo não existe"),
        ("file/x", "não é uma pasta"),
        ("a\0b", "caractere nulo"),
    ],
)
def test_system_speaks_the_users_language(tmp_path: Path, name: str, words: str) -> None:
    """Where it is usual; else in its own words."""
    language.use("pt_BR")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=words):
        read_file(str(tmp_path / name))


def test_connection_that_is_refused_is_told_in_words() -> None:
    """Not in the number of an error."""
    error = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 4222)")
    assert words_of(error) == "connection refused"


def test_rare_error_is_told_in_the_systems_words() -> None:
    """Rather than not at all."""
    assert words_of(OSError(99999, "Odd")) == "Odd"
    assert words_of(ValueError("odd")) == "odd"


FILES_AND_SOCKETS = """
    ENOENT EACCES EPERM EISDIR ENOTDIR EEXIST ELOOP ENAMETOOLONG ENXIO ENODEV ENOSPC EDQUOT EFBIG
    EROFS EIO ESTALE EBUSY ETXTBSY EAGAIN EMFILE ENFILE ENOMEM EINVAL EBADF EPIPE EADDRINUSE
    EADDRNOTAVAIL EAFNOSUPPORT ECONNREFUSED ECONNRESET ECONNABORTED EHOSTUNREACH EHOSTDOWN
    ENETUNREACH ENETDOWN ETIMEDOUT ENOTCONN ENOBUFS EOPNOTSUPP EILSEQ
"""


@pytest.mark.parametrize("name", FILES_AND_SOCKETS.split())
def test_what_files_and_sockets_raise_is_told_in_both_languages(name: str) -> None:
    """Neither in the system's words, nor in the other language."""
    if not hasattr(errno, name):
        pytest.skip("this system has no such error")
    error = OSError(getattr(errno, name), "System's words")
    words = [words_of(error)]
    language.use("pt_BR")
    words.append(words_of(error))
    assert len({*words, "System's words"}) == 3


@pytest.mark.parametrize("name", ["EAI_NONAME", "EAI_AGAIN", "EAI_FAIL", "EAI_FAMILY"])
def test_what_names_of_machines_raise_is_told_in_both_languages(name: str) -> None:
    """By a table of its own: on some systems the numbers are those of files."""
    words = [words_of(socket.gaierror(getattr(socket, name), "System's words"))]
    language.use("pt_BR")
    words.append(words_of(socket.gaierror(getattr(socket, name), "System's words")))
    assert len({*words, "System's words"}) == 3
    assert "arquivo" not in words[1]


@pytest.mark.skipif(sys.platform != "linux", reason="what opening a socket raises differs")
def test_real_errors_of_files_are_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to itself, and a socket where a file should be."""
    language.use("pt_BR")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match="em círculo"):
        read_file(str(tmp_path / "loop"))
    with socket.socket(socket.AF_UNIX) as door:
        monkeypatch.chdir(tmp_path)  # the path of a socket may be 107 bytes long
        door.bind("door")
        with pytest.raises(UsageError, match="nada responde"):
            read_file("door")


def test_words_of_the_system_are_said_in_other_words() -> None:
    """The log hands on what the system said, as a text; what others said is left as it is."""
    language.use("pt_BR")
    for number, words in ((errno.ENOSPC, "o disco está cheio"), (errno.EMFILE, "abertos demais")):
        assert words in in_other_words(os.strerror(number))
        assert words in words_of(OSError(number, os.strerror(number)))
    assert in_other_words("database is locked") == "database is locked"
    error = LogError(Problem.UNUSABLE, "/srv/Chat.db", os.strerror(errno.EIO))
    assert "/srv/Chat.db (há um defeito no disco" in explain_log_error(error)


@pytest.mark.parametrize("read", [read_key, read_file])
def test_missing_file_is_no_matter_of_rights(tmp_path: Path, read: Callable[[str], object]) -> None:
    """What is missing is told, and that another path is to be given."""
    with pytest.raises(UsageError) as error:
        read(str(tmp_path / "none.pem"))
    assert "path" in str(error.value) and "right" not in str(error.value)
