"""The sentences of Python's own `argparse` that our users can meet, for the catalogues.

`language.use()` points argparse at our catalogues; it asks them for these. Never imported: only
`catalogue.py` reads it. Some are only in some of the Python versions.
"""

from __future__ import annotations

from chat.cli.i18n import N_

SENTENCES = (
    N_("usage: "),
    N_("options"),
    N_("positional arguments"),
    N_("show this help message and exit"),
    N_("expected one argument"),
    N_("ignored explicit argument %r"),
    N_("invalid %(type)s value: %(value)r"),
    N_("invalid choice: %(value)r (choose from %(choices)s)"),
    N_("not allowed with argument %s"),
    N_("unrecognized arguments: %s"),
)
