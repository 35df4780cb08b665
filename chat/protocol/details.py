"""What a refusal says beside its reason: until when, by whom, and in whose words.

The server puts it into the ErrorInfo of a status; the client makes one of what a server says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from chat.cli.i18n import _

# The last moment that is told as such: 9999, as in google.protobuf.Timestamp (timestamp.proto).
MAX_SECONDS = 253_402_300_799
# Reasons that hold for good, where they say nothing of an end.
LASTING = ("BANNED", "MUTED")


@dataclass(frozen=True)
class Details:
    """`until`: seconds since 1970, None: for good. `by`: a name. `words`: their reason, one line.

    `has_end`: whether it says anything of an end at all, so that None means something.
    """

    until: float | None = None
    by: str = ""
    words: str = ""
    has_end: bool = False

    def sentence(self, text: str) -> str:
        """Return `text`, which says what is refused, with these, in the user's language."""
        parts = []
        if self.by:
            parts.append(_("by {user}").format(user=f"[{self.by}]"))
        if self.has_end:
            parts.append(until_text(self.until))
        told = f"{text} ({', '.join(parts)})" if parts else text
        return f"{told}: {self.words}" if self.words else told


def until_text(until: float | None) -> str:
    """Return until when, in local time; with the day where that is not today."""
    if until is None:
        return _("for good")
    when = local_time(until)
    is_today = when.date() == datetime.now().astimezone().date()
    form = "%H:%M:%S" if is_today else _("%Y-%m-%d") + " %H:%M"
    return _("until {until}").format(until=when.strftime(form))


def local_time(seconds: float) -> datetime:
    """Return a moment in local time; where the machine has none for it, in UTC."""
    when = datetime.fromtimestamp(min(max(seconds, 0.0), MAX_SECONDS), timezone.utc)
    try:
        return when.astimezone()
    except (OverflowError, OSError, ValueError):
        return when


def to_text(seconds: float) -> str:
    """Return a moment as RFC 3339 has it, in UTC, to the second."""
    when = datetime.fromtimestamp(min(max(seconds, 0.0), MAX_SECONDS), timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def from_text(text: str) -> float | None:
    """Return the moment that a text of this form means, in seconds since 1970; None for others."""
    try:
        when = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return None
    return when.replace(tzinfo=timezone.utc).timestamp()
