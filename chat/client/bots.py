"""What a bot's program does around its conversation: `run`. Known to bots alone.

Whatever ends it is a sentence and an exit code, as the client has them (docs/using.md).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from chat.cli import i18n, streams
from chat.client.ending import EXIT_OK, EXIT_REFUSED, sentence
from chat.client.ui.signals import exit_on_signals
from chat.protocol.errors import ChatError, ConfigError, UsageError

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 and the number of SIGINT


def run(main: Callable[..., None], *errors: type[Exception]) -> NoReturn:
    """Call `main` with the words of the command line, and exit; in the main thread.

    Where they are too many or too few for it, or one begins with a dash, the docstring of its
    module is printed, which says how it is called, and the exit code is 2; so it is where one of
    them is wrong (`UsageError`). `ChatError`, `ConfigError` and `errors`, of the bot's own, are a
    sentence on standard error and exit code 1; Ctrl-C is 130, and SIGTERM, which leaves in order
    too, 143. Sentences are in the language that `CHAT_LANG` names.
    """
    streams.prepare()
    i18n.use(i18n.wanted([]))
    exit_on_signals()
    words = sys.argv[1:]
    if not _fits(main, words):
        print(inspect.getdoc(sys.modules[main.__module__]), file=sys.stderr)
        sys.exit(EXIT_USAGE)
    sys.exit(_code_of(main, words, errors))


def _fits(main: Callable[..., None], words: Sequence[str]) -> bool:
    """Say whether `main` takes so many words, and none of them is a flag, which no bot has."""
    try:
        inspect.signature(main).bind(*words)
    except TypeError:
        return False
    return not any(word.startswith("-") for word in words)


def _code_of(
    main: Callable[..., None], words: Sequence[str], errors: tuple[type[Exception], ...]
) -> int:
    """Call `main`, say why it ended where that was not its own will, and return the exit code."""
    try:
        main(*words)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except (ChatError, ConfigError) as refusal:
        print(sentence(refusal), file=sys.stderr)
        return EXIT_USAGE if isinstance(refusal, UsageError) else EXIT_REFUSED
    except errors as error:
        print(error, file=sys.stderr)
        return EXIT_REFUSED
    return EXIT_OK
