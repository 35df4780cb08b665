"""Where the log is: in a file of this server's own, or in a cluster that this file follows.

NATS is imported only where it is used.
"""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable
from importlib.util import find_spec

from chat.cli.dependencies import python
from chat.cli.i18n import _
from chat.protocol.errors import ConfigError, UsageError
from chat.server.log.base import LogError, Problem, ServedLog
from chat.server.log_sentences import explain_log_error, explain_waiting
from chat.server.neighbours import Alone, Neighbours
from chat.server.records import LOCAL_KINDS

_log = logging.getLogger(__name__)


def open_home(
    flags: Namespace, open_alone: Callable[[str, float], ServedLog]
) -> tuple[ServedLog, Neighbours]:
    """Return the log that the flags speak of, and who knows the other servers on it, if any.

    `open_alone(path, retain_days)` opens one of this server's own. Raises `ConfigError`.
    """
    if flags.replicas > 1 and not flags.cluster:
        text = _("--replicas needs --cluster: without it the log is a file of this server alone.")
        raise UsageError(text)
    try:
        if flags.cluster:
            return _open_cluster(flags)
        return open_alone(flags.db, flags.retain), Alone()
    except LogError as error:
        raise ConfigError(explain_log_error(error)) from error


def _open_cluster(flags: Namespace) -> tuple[ServedLog, Neighbours]:
    """Return the log that `--cluster` and its companions speak of, and who knows the others there.

    Neither is connected yet; the log is opened first, and closed last.

    Raises `ConfigError` where a package is missing, and `LogError`.
    """
    if (flags.cluster_cert is None) != (flags.cluster_key is None):
        raise UsageError(_("--cluster-cert and --cluster-key belong together: give both."))
    _need("nats", "--cluster", "nats-py")
    if flags.cluster_creds is not None:
        _need("nkeys", "--cluster-creds", "nkeys")
    from chat.server.cluster.connection import ClusterSettings
    from chat.server.cluster_people import ClusterPeople
    from chat.server.log.jetstream import JetStreamLog

    settings = ClusterSettings(
        tuple(flags.cluster.split(",")),
        flags.replicas,
        flags.cluster_ca,
        flags.cluster_cert,
        flags.cluster_key,
        flags.cluster_creds,
        flags.cluster_any_nats,
    )
    log = JetStreamLog(flags.db, flags.retain, settings, LOCAL_KINDS)
    people = ClusterPeople(log.connection, log.instance, flags.replicas, log.fail, log.drop)
    log.may_speak = people.may_speak
    return log, people


def tell_cluster(trouble: LogError | None, before: LogError | None, is_serving: bool) -> str:
    """Say on standard error that NATS does not answer, or does so again.

    `is_serving`: somebody may be here, so that something could be lost by it. Return the
    reason of the NOTICE for the people here; empty: they need not know, or know already.
    """
    was_away = before is not None and before.problem is Problem.AWAY
    if trouble is not None and trouble.problem is Problem.AWAY:
        explain = explain_log_error if is_serving else explain_waiting
        _log.warning("%s", explain(trouble))
        return "" if was_away else "SERVERS_AWAY"
    if trouble is None and was_away:
        _log.warning("%s", _("NATS is available again."))
        return "SERVERS_BACK"
    return ""


def _need(module: str, flag: str, package: str) -> None:
    if find_spec(module) is None:
        text = _("{flag} needs {package}. Type: {command}")
        command = python(f"-m pip install {package}")
        raise ConfigError(text.format(flag=flag, package=package, command=command))
