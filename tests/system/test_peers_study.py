"""The bench beside other servers, at a tiny size: each is measured, or what it lacks is said."""

from __future__ import annotations

import re
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the bench reads /proc, which Linux has", allow_module_level=True)

import equipment
import peers_study
from contenders import PEERS
from equipment import GO_SERVER, GRPC_CLIENTS, NGIRCD, Equipment
from load import Plan, Report
from support import DEADLINE_SECONDS

LOAD = "12 clients, 3 in flight"
TINY = {LOAD: Plan(0, 0, clients=12, in_flight=3, warm_seconds=0.1, seconds=0.3)}


def lacking(row: peers_study.Row) -> list[str]:
    """Return what cannot be had for a row on this machine."""
    parts = (row.peer.equipment, row.generator.equipment)
    return [part.name for part in parts if part is not None and part.missing()]


def assert_measured(report: Report) -> None:
    """Look at what a generator has seen: everybody heard everything, and senders went on by it."""
    assert not report.error
    assert report.clients == 12
    assert report.is_steady
    assert report.missing == 0
    assert report.p50_ms <= report.p99_ms


def test_each_server_is_measured_or_what_it_lacks_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With nothing installed, the seed's server and ours are left, with the bench's clients."""
    monkeypatch.setattr(peers_study, "PATIENCE_SECONDS", DEADLINE_SECONDS)
    results = peers_study.measure(1, TINY, PEERS)
    said = capsys.readouterr().out
    table = peers_study.tables(results)
    for peer in PEERS:
        for generator in peer.generators:
            row = peers_study.Row(LOAD, peer, generator)
            for name in lacking(row):
                assert f"{name}: left out; not installed: " in said
            if not lacking(row):
                assert_measured(results[row][0])
            assert (f"| {peer.name} | {generator.name} | " in table) is (not lacking(row))


def test_what_is_not_installed_is_named_by_its_package() -> None:
    """One package for several commands is named once, and what is there is not named."""
    needs = {"sh": "dash", "no-such-command": "other", "/no/such/file": "other", "/": "base-files"}
    assert Equipment("nothing", needs).missing() == ["other"]


def test_without_anything_installed_it_says_so_and_builds_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each thing that is left out is named, with what would have to be installed for it."""
    monkeypatch.setattr(equipment, "PATH", "/no/such/folder")
    assert peers_study.prepare(PEERS) == {GO_SERVER, GRPC_CLIENTS, NGIRCD}
    said = capsys.readouterr().out
    assert "ngircd: left out; not installed: ngircd\n" in said
    assert re.search(r"^gRPC clients: .* protobuf-compiler-grpc\b", said, re.MULTILINE)
    assert re.search(r"^Go server: .* golang-go\b", said, re.MULTILINE)


def test_server_that_does_not_stand_the_load_is_in_the_table() -> None:
    """What it failed by stands where its figures would be."""
    row = peers_study.Row(LOAD, PEERS[0], PEERS[0].generators[0])
    table = peers_study.tables({row: [Report(error="the stream of client 3 ended")]})
    assert "| failed: the stream of client 3 ended |" in table
    assert "nan" not in table
