"""What is wrong with the log, for whoever runs the server. The log itself says it in English."""

from __future__ import annotations

from chat.cli.display import one_line
from chat.cli.i18n import N_, _
from chat.cli.system_errors import in_other_words
from chat.server.log.base import LogError, Problem

SENTENCES = {
    Problem.IN_USE: N_(
        "Another server has {path} open. Stop it, or choose another file with --db."
    ),
    Problem.NO_NAME: N_("{flag} is empty. Give the path of a file with it."),
    Problem.FOLDER: N_("{path} is a folder. Give the path of a file with {flag}."),
    Problem.NO_FOLDER: N_(
        "The folder of {path} does not exist. Create it, or choose another file with {flag}."
    ),
    Problem.TOO_LONG: N_("The path {path} is too long. Choose a shorter one with {flag}."),
    Problem.URI: N_(
        "{path} is a URI. Give the path of a file with {flag}, without file: before it."
    ),
    Problem.NO_FILE: N_("{path} is no file. Give the path of one with {flag}."),
    Problem.RESERVED: N_(
        "{path} is a name that the log itself uses. Choose another one with {flag}."
    ),
    Problem.OTHER_NAME: N_(
        "{path} was not closed, and its newest messages are in {detail}-wal. Use the name {detail}."
    ),
    Problem.FOREIGN: N_("{path} is not a log of this program. Choose another file with --db."),
    Problem.NEWER: N_(
        "{path} was written by a later version of this program."
        " Update the program, or choose another file with --db."
    ),
    Problem.FULL: N_("The disk of {path} is full: nothing new is accepted. Make room on it."),
    Problem.READ_ONLY: N_(
        "{path} cannot be written. Give this user the right to write in its folder,"
        " or choose another file with {flag}."
    ),
    Problem.DAMAGED: N_(
        "{path} is damaged. Put back a copy of it, or move it away to begin a new log."
    ),
    Problem.REMOVED: N_(
        "{path} was removed or replaced while the server ran, and what it held could not be saved."
        " Start the server again."
    ),
    Problem.SAVED: N_(
        "{path} was removed or replaced while the server ran. All that it held is in {detail}."
        " Put that back if you need it, and start the server again."
    ),
    Problem.ABSENT: N_("{path} does not exist. Choose another file with --db."),
    Problem.EXISTS: N_("{path} exists already. Choose the name of a new file."),
    Problem.SILENT: N_("The disk of {path} does not answer: what waited was not stored."),
    Problem.STOPPED: N_("An error in this program ended the log ({detail}). Please report it."),
    Problem.UNUSABLE: N_("{path} cannot be used ({detail})."),
    Problem.FOLLOWING: N_(
        "{path} belongs to a server of a cluster. Start with --cluster,"
        " or choose another file with --db."
    ),
    Problem.OTHER_LOG: N_(
        "{path} is another log than the cluster's. Choose a new file with --db:"
        " the server fills it from the cluster."
    ),
    Problem.AWAY: N_(
        "NATS at {path} is not available: {detail}. Nothing new is accepted until it is."
    ),
    Problem.REFUSED: N_("NATS at {path} cannot be used ({detail})."),
    Problem.BEHIND: N_("{path} has not followed the cluster so far ({detail})."),
}


# While the server does not listen yet.
WAITING = N_(
    "NATS at {path} is not available: {detail}. The server waits for it before it listens."
)


def explain_waiting(error: LogError) -> str:
    """Say that the server cannot begin yet, and why."""
    return _fill(WAITING, error)


def explain_log_error(error: LogError) -> str:
    """Say what is wrong with the log's file, and what to do about it."""
    return _fill(SENTENCES[error.problem], error)


def _fill(sentence: str, error: LogError) -> str:
    flag = "--backup" if error.is_of_copy else "--db"
    # A file of somebody else's may be quoted in it.
    detail = one_line(in_other_words(error.detail)) or _("no answer")
    return _(sentence).format(path=error.path, detail=detail, flag=flag)
