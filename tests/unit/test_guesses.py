"""How fast wrong tokens are found to be wrong, and who waits for that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from rooms import bounded, quiet

from chat.protocol.errors import ChatError
from chat.server import guesses as module
from chat.server.address import LOOPBACK
from chat.server.guesses import MAX_ALL_WAITING, MAX_WAITING, Guesses

NAT = "192.0.2.1"
BURST = int(module.GUESSES.burst)
SESSION = "0123456789abcdef" * 2


Knock = asyncio.Task["bool | str"]


class Door:
    """Guesses at a door whose time passes by hand; `compared`: how many came to a comparison."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.compared = 0
        self.guesses = Guesses(lambda: self.now, self._call_later)
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def _call_later(self, seconds: float, call: Callable[..., None], *arguments: object) -> None:
        self._timers.append((self.now + seconds, lambda: call(*arguments)))

    def knock(self, is_right: bool, address: str = NAT, session: str = "") -> Knock:
        """Show a token; the task returns whether it is let in, or why it is not compared."""

        def compare() -> bool:
            self.compared += 1
            return is_right

        async def judge() -> bool | str:
            try:
                return await self.guesses.judge(address, session, compare)
            except ChatError as refusal:
                return refusal.reason

        return asyncio.get_running_loop().create_task(judge())

    async def flood(self, count: int, address: str = NAT) -> list[Knock]:
        """Show so many wrong tokens at once."""
        tasks = [self.knock(False, address) for _ in range(count)]
        await quiet()
        return tasks

    async def pass_seconds(self, seconds: float) -> None:
        """Let time pass, and what is due by then happen."""
        await quiet()
        end = self.now + seconds
        while due := [timer for timer in self._timers if timer[0] <= end]:
            timer = min(due, key=lambda timer: timer[0])
            self._timers.remove(timer)
            self.now = max(self.now, timer[0])
            timer[1]()
            await quiet()
        self.now = end


@pytest.fixture
def door() -> Door:
    return Door()


async def test_guesses_of_one_address_come_to_one_a_second(door: Door) -> None:
    """However many are made at once, and on however many streams."""
    for second in range(60):
        await door.flood(50)
        assert door.compared <= BURST + second
        await door.pass_seconds(1)
    assert BURST + 55 <= door.compared <= BURST + 60


async def test_right_tokens_are_not_counted(door: Door) -> None:
    """Of a whole class at once."""
    tasks = [door.knock(True) for _ in range(500)]
    await quiet()
    assert all(task.done() and task.result() is True for task in tasks)


async def test_other_addresses_do_not_wait(door: Door) -> None:
    """Whatever is guessed elsewhere."""
    await door.flood(100)
    assert await bounded(door.knock(True, "192.0.2.2")) is True
    assert await bounded(door.knock(False, "192.0.2.2")) is False


async def test_right_token_behind_the_same_address_waits_its_turn(door: Door) -> None:
    """Among those that guess, whoever they are: a comparison at once would be one for them too."""
    await door.flood(BURST)
    newcomer = door.knock(True)
    await door.flood(5)
    assert not newcomer.done()
    await door.pass_seconds(6)
    assert newcomer.done() and newcomer.result() is True


async def test_who_was_in_before_does_not_wait(door: Door) -> None:
    """Its session is a secret, and as good as having shown the right token."""
    assert await bounded(door.knock(True, session=SESSION)) is True
    await door.flood(100)
    for _ in range(3):
        assert await bounded(door.knock(True, session=SESSION.upper())) is True
    stranger = door.knock(True, session=SESSION[::-1])
    await quiet()
    assert not stranger.done()


async def test_session_that_was_in_guesses_once(door: Door) -> None:
    """Then it is nobody's, and what it guessed counts for its address."""
    assert await bounded(door.knock(True, session=SESSION)) is True
    await door.flood(BURST)
    assert await bounded(door.knock(False, session=SESSION)) is False
    again = door.knock(True, session=SESSION)
    await door.pass_seconds(1.9)
    assert not again.done()
    await door.pass_seconds(0.2)
    assert again.done()


async def test_debt_is_bounded(door: Door) -> None:
    """Many who were in and guess now keep the others waiting for some time, not for ever."""
    sessions = [f"{n:032x}" for n in range(100)]
    for session in sessions:
        assert await bounded(door.knock(True, session=session)) is True
    for session in sessions:
        assert await bounded(door.knock(False, session=session)) is False
    newcomer = door.knock(True)
    await door.pass_seconds(module.MAX_DEBT_SECONDS + 1)
    assert newcomer.done()


async def test_few_wait_and_a_random_one_makes_room(door: Door) -> None:
    """The rest is refused, and told so."""
    await door.flood(BURST)
    tasks = await door.flood(MAX_WAITING + 30)
    refused = [task for task in tasks if task.done()]
    assert len(refused) == 30
    assert {task.result() for task in refused} == {"TOO_MANY_GUESSES"}
    assert refused != tasks[:30]  # once in some 10^13 runs


async def test_few_of_all_addresses_wait(door: Door) -> None:
    """Those of the most crowded address make room for others."""
    addresses = [f"192.0.2.{n}" for n in range(MAX_ALL_WAITING // MAX_WAITING)]
    crowds = []
    for address in addresses:
        await door.flood(BURST, address)
        crowds.append(await door.flood(MAX_WAITING, address))
    await door.flood(BURST, "198.51.100.1")
    (newcomer,) = await door.flood(1, "198.51.100.1")
    assert not newcomer.done()
    assert sum(task.done() for crowd in crowds for task in crowd) == 1


async def test_this_machine_may_guess_ten_times_that(door: Door) -> None:
    """It may be a proxy; but it is not let guess without end."""
    await door.flood(1000, LOOPBACK)
    assert 10 * BURST - 1 <= door.compared <= 10 * BURST
    await door.pass_seconds(1)
    assert 10 * BURST + 8 <= door.compared <= 10 * BURST + 10


async def test_whoever_goes_while_waiting_is_forgotten(door: Door) -> None:
    """Its place is free, and nothing of it is compared any more."""
    await door.flood(BURST)
    (waiting,) = await door.flood(1)
    waiting.cancel()
    await quiet()
    before = door.compared
    await door.pass_seconds(2)
    assert door.compared == before
    assert await bounded(door.knock(True)) is True


async def test_addresses_that_owe_are_bounded(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that guessed longest ago is forgotten, and who waits there is refused."""
    monkeypatch.setattr(module, "MAX_ADDRESSES", 3)
    await door.flood(BURST)
    (waiting,) = await door.flood(1)
    for n in range(3):
        await door.flood(1, f"198.51.100.{n}")
    assert await bounded(waiting) == "TOO_MANY_GUESSES"
    assert await bounded(door.knock(True)) is True


async def test_sessions_that_were_in_are_bounded(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was in longest ago waits like everybody."""
    monkeypatch.setattr(module, "MAX_SESSIONS", 2)
    sessions = [f"{n:032x}" for n in range(3)]
    for session in sessions:
        assert await bounded(door.knock(True, session=session)) is True
    await door.flood(BURST)
    late, *known = [door.knock(True, session=session) for session in sessions]
    await quiet()
    assert not late.done() and all(task.done() for task in known)
