"""The log of one server: its file in SQLite is the log, and its own group commit writes it.

Knows no rooms' rules, no gRPC and no language. The event loop calls `SqliteLog`; the group commit's
thread writes.
"""

from __future__ import annotations

from collections.abc import Callable

from chat.server.log.base import Deliver, LogError, OnRecord, Problem, Report, ignore
from chat.server.log.connections import Connect, connect_sqlite
from chat.server.log.group_commit import GroupCommit
from chat.server.log.log_clock import Clocks
from chat.server.log.migrations import is_following
from chat.server.log.sqlite_file import SqliteFile
from chat.server.log.sqlite_writer import SqliteWriter


class SqliteLog(SqliteFile):
    """The log of one server, in the file `path` or in memory.

    `retain_days` is how long messages are kept, 0 for ever. Opening it: see `SqliteFile`. `clocks`:
    the machine's, but in tests.
    """

    is_shared = False

    def __init__(
        self,
        path: str,
        retain_days: float = 0,
        connect: Connect = connect_sqlite,
        clocks: Clocks | None = None,
    ) -> None:
        super().__init__(path, connect)
        if is_following(self._writing):  # what it appended by itself no other server would have
            self.abandon()
            raise LogError(Problem.FOLLOWING, path)
        storage = SqliteWriter(
            self._writing,
            self._write_lock,
            path,
            self._file,
            self._checkpoints,
            retain_days,
            clocks or Clocks(),
        )
        self._storage = storage
        self._writer = GroupCommit(storage.commit, storage.tidy, storage.finish, path)
        self.commits = self._writer.commits
        self.append = self._writer.append
        self.keep = self._writer.keep
        self.wait_for_space = self._writer.wait_for_space
        self.flush = self._writer.flush

    @property
    def is_saving(self) -> bool:
        """Whether what a removed file held is being saved just now. In any thread."""
        return self._storage.is_saving

    @property
    def waiting(self) -> int:
        """How many messages wait to be committed."""
        return self._writer.waiting

    async def open(self, report: Report = ignore) -> None:
        """Do nothing: it is all here."""

    def listen(self, on_record: OnRecord, on_rewound: Callable[[], None]) -> None:
        """Do nothing: there are no other servers, and nobody puts back a file that is open."""

    def tell(self, text: str) -> None:
        """Do nothing: there are no other servers."""

    def start(self, deliver: Deliver, report: Report = ignore) -> None:
        """Begin to commit; `deliver` and `report` are called in the running event loop."""
        self._writer.start(deliver, report)
        self._searching.start()

    def hurry(self, seconds: float) -> None:
        """Have what waits for the disk, or for other programs, given up after so long."""
        self._storage.hurry(seconds / 2)  # so that it is still told
        self._writer.hurry(seconds)

    async def close(self) -> None:
        """Commit what waits, end both threads and release the file.

        Raises `LogError`: the file was not in its place any more, or the disk does not answer; then
        what still uses it is left to the end of the program.
        """
        try:
            await self._writer.close()
        finally:
            self._close_search()
        self.abandon()
