"""The tokens that open the server: what a file of them may hold, and which is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from chat.protocol.errors import UsageError
from chat.protocol.metadata import bearer
from chat.server.tokens import MAX_TOKENS, UNNAMED, Tokens, read_tokens, token_of_variable

ANA, BIA = "correct-horse-battery", "staple-of-another"


def tokens_in(tmp_path: Path, text: str) -> Tokens:
    """Return what a file with this text opens."""
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text(text)
    return read_tokens(str(path))


def name_of(tokens: Tokens, shown: str) -> str | None:
    """Return the name of the token that is shown, None for a wrong one."""
    found = tokens.find(bearer(shown))
    return found.name if found is not None else None


def test_each_line_has_a_name_and_a_token(tmp_path: Path) -> None:
    """Around comments and empty lines; spaces do not count."""
    text = f"# people\n\nana:{ANA}\n  bia@example.org : {BIA} \r\n# end\n"
    tokens = tokens_in(tmp_path, text)
    assert len(tokens) == 2
    assert name_of(tokens, ANA) == "ana" and name_of(tokens, BIA) == "bia@example.org"


def test_line_may_be_shown_whole(tmp_path: Path) -> None:
    """As the owner of the server hands it over; but not with another name."""
    tokens = tokens_in(tmp_path, f"ana:{ANA}\nbia:{BIA}")
    assert name_of(tokens, f"ana:{ANA}") == "ana"
    assert name_of(tokens, f"bia:{ANA}") is None


@pytest.mark.parametrize("line", [ANA, "pa$$:word-and-more", "word:with-a-colon"])
def test_one_line_may_stand_alone(tmp_path: Path, line: str) -> None:
    """As in files of earlier versions, where it was shown whole."""
    assert name_of(tokens_in(tmp_path, f"{line}\n"), line) in (UNNAMED, "word")


@pytest.mark.parametrize("shown", ["", "x", ANA[:-1], ANA + "x", ANA.upper(), "é", "ana", "ana:"])
def test_nothing_else_is_found(tmp_path: Path, shown: str) -> None:
    """Whatever of it is right."""
    assert name_of(tokens_in(tmp_path, f"ana:{ANA}"), shown) is None


def test_header_is_compared_whole(tmp_path: Path) -> None:
    """As text or as bytes, with its scheme."""
    tokens = tokens_in(tmp_path, ANA)
    assert tokens.find(bearer(ANA).encode()) == tokens.find(bearer(ANA))
    assert tokens.find(bearer(ANA)) is not None
    for header in ("", ANA, f"Basic {ANA}", f"Bearer\t{ANA}", f"bearer {ANA}"):
        assert tokens.find(header) is None


@pytest.mark.parametrize(
    ("text", "number", "words"),
    [
        (f"ana:{ANA}\n\nbia:short", 3, "8 or more"),
        (f"# one\nana silva:{ANA}", 2, "without spaces"),
        (f"ana:{ANA}\nbia:canção-e-mais", 2, "ASCII"),
        ("ana:", 1, "8 or more"),
        (f"ana:{ANA}\n# two\nana:{BIA}", 3, "Line 1 has this name too"),
        (f"ana:{ANA}\nbia:{ANA}", 2, "already on line 1"),
        (f"{ANA}\n{BIA}", 2, "without a name"),
        ("\n".join(f"n{n}:token-{n:05}" for n in range(MAX_TOKENS + 1)), MAX_TOKENS + 1, "more"),
    ],
)
def test_what_is_wrong_is_told_by_its_line(
    tmp_path: Path, text: str, number: int, words: str
) -> None:
    """With the path and the line's number, and nothing of what is in it."""
    with pytest.raises(UsageError) as refusal:
        tokens_in(tmp_path, text)
    sentence = str(refusal.value)
    assert f"tokens, line {number}: " in sentence and words in sentence
    for secret in (ANA, BIA, "short", "token-", "canção"):
        assert secret not in sentence


@pytest.mark.parametrize("text", ["", "\n \n", "# nothing yet\n"])
def test_file_without_a_token_is_refused(tmp_path: Path, text: str) -> None:
    """It would shut everybody out, or let everybody in."""
    with pytest.raises(UsageError, match="is empty"):
        tokens_in(tmp_path, text)


def test_token_of_another_reading_is_known_again(tmp_path: Path) -> None:
    """Under whatever name; one that was changed is another one."""
    before = tokens_in(tmp_path, f"ana:{ANA}\nbia:{BIA}")
    after = tokens_in(tmp_path, f"anna:{ANA}\nbia:{BIA}-2")
    ana, bia = before.find(bearer(ANA)), before.find(bearer(BIA))
    assert ana in before and bia in before
    assert ana in after and bia not in after
    assert ANA not in after


def test_variable_has_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a name or without, or it has none."""
    monkeypatch.delenv("CHAT_TOKEN", raising=False)
    assert not token_of_variable()
    for text, name in ((ANA, UNNAMED), (f"ana:{ANA}", "ana")):
        monkeypatch.setenv("CHAT_TOKEN", text)
        assert name_of(token_of_variable(), ANA) == name
    monkeypatch.setenv("CHAT_TOKEN", "ana:short")
    with pytest.raises(UsageError, match="8 or more"):
        token_of_variable()


def test_tokens_themselves_are_not_kept(tmp_path: Path) -> None:
    """Nothing that could be logged holds them."""
    token = tokens_in(tmp_path, f"ana:{ANA}").find(bearer(ANA))
    assert "ana" in repr(token) and ANA not in repr(token)
