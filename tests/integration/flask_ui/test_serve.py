"""The server itself, as a process: both addresses, one owner of a port, an end with its parent."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from flask_ui.serve import bind
from tests.running import free_port, wait_for
from xyn_reconciler.model.errors import ConflictError

STORM = 300
"""Groups of alerts that Alertmanager posts at once; each request waits for a commit."""

PROGRAM = """
import os, sys, threading, time
from flask_ui.serve import bind, serve
from xyn_reconciler.node.lifeline import watch_lifeline

held, release = [], threading.Event()

def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        print("slow", flush=True)
        time.sleep(1)
    if environ["PATH_INFO"] == "/held":
        held.append(environ)
        release.wait(60)
    if environ["PATH_INFO"] == "/count":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(len(held)).encode()]
    if environ["PATH_INFO"] == "/release":
        release.set()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REMOTE_ADDR"].encode()]

watch_lifeline()
sockets = bind(("127.0.0.1", "::1"), int(sys.argv[1]))
print("bound", flush=True)
serve(application, sockets)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", int, int]]:
    """A server, its port, and the writing end of its lifeline."""
    port = free_port()
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(port)],
        env={**os.environ, "XYN_LIFELINE_FD": str(read), "PYTHONPATH": os.pathsep.join(sys.path)},
        pass_fds=[read],
        stdout=subprocess.PIPE,
        text=True,
    )
    os.close(read)
    assert process.stdout is not None
    assert process.stdout.readline() == "bound\n"
    until = time.monotonic() + 60
    while not _answers(port):
        assert time.monotonic() < until
        time.sleep(0.02)
    yield process, port, write
    process.kill()
    process.wait()
    process.stdout.close()
    os.close(write)


def _answers(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/", trust_env=False).is_success
    except httpx2.TransportError:
        return False


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_one_process_answers_on_both_loopback_addresses(
    server: tuple["subprocess.Popen[str]", int, int],
) -> None:
    _, port, _ = server

    assert httpx2.get(f"http://127.0.0.1:{port}/", trust_env=False).text == "127.0.0.1"
    if _has_ipv6():
        assert httpx2.get(f"http://[::1]:{port}/", trust_env=False).text == "::1"


def test_a_port_has_one_owner(server: tuple["subprocess.Popen[str]", int, int]) -> None:
    _, port, _ = server

    with pytest.raises(ConflictError, match=str(port)):
        bind(("127.0.0.1", "::1"), port)


def test_a_page_answers_while_a_storm_of_posts_waits(
    server: tuple["subprocess.Popen[str]", int, int],
) -> None:
    _, port, _ = server
    with contextlib.ExitStack() as stack:
        for _ in range(STORM):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(b"POST /held HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")

        wait_for(
            lambda: httpx2.get(f"http://127.0.0.1:{port}/count", trust_env=False).text == str(STORM)
        )
        page = httpx2.get(f"http://127.0.0.1:{port}/", trust_env=False)
        httpx2.get(f"http://127.0.0.1:{port}/release", trust_env=False)

    assert page.is_success


def test_what_is_under_way_is_finished_before_the_end(
    server: tuple["subprocess.Popen[str]", int, int],
) -> None:
    process, port, _ = server
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert process.stdout is not None
        assert process.stdout.readline() == "slow\n"

        process.send_signal(signal.SIGTERM)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))

    assert answer.startswith(b"HTTP/1.1 200")
    assert process.wait(10) == 0


def test_it_ends_when_its_parent_does(server: tuple["subprocess.Popen[str]", int, int]) -> None:
    process, port, write = server

    os.close(os.dup(write))  # somebody else's copy does not matter
    os.dup2(os.open(os.devnull, os.O_WRONLY), write)  # the last writer is gone

    assert process.wait(10) == 0
    assert not _answers(port)


def test_clients_that_say_nothing_more_keep_nobody_out(
    server: tuple["subprocess.Popen[str]", int, int],
) -> None:
    _, port, _ = server
    with contextlib.ExitStack() as connections:
        for _ in range(300):
            silent = connections.enter_context(socket.create_connection(("127.0.0.1", port)))
            silent.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-")

        assert httpx2.get(f"http://127.0.0.1:{port}/", timeout=20).status_code == 200
        # Each of them is hung up on, and not kept for as long as it likes.
        silent.settimeout(60)
        while silent.recv(1000):
            pass
