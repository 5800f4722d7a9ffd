"""A real sshd on a port of this machine, as an ordinary process with a configuration of its own."""

import contextlib
import getpass
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.neighbours import neighbour
from tests.running import free_port, wait_for

CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_ed25519
HostKey {folder}/host_rsa
AuthorizedKeysFile {folder}/authorized_keys
SetEnv HOME={folder}
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
AllowTcpForwarding yes
LogLevel VERBOSE
"""


@dataclass(frozen=True)
class Sshd:
    """A running server; ``key`` is the private key that may log in as ``user``."""

    folder: Path
    port: int
    user: str

    @property
    def key(self) -> str:
        return (self.folder / "user_key").read_text()

    def known_hosts(self, kind: str = "ed25519", host: str = "127.0.0.1") -> str:
        public = (self.folder / f"host_{kind}.pub").read_text().split()
        return f"[{host}]:{self.port} {public[0]} {public[1]}\n"

    def fingerprint(self, kind: str = "ed25519") -> str:
        shown = subprocess.check_output(
            ["ssh-keygen", "-l", "-f", self.folder / f"host_{kind}.pub"], text=True
        )
        return shown.split()[1]

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


def make_key(path: Path, kind: str = "ed25519") -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)


@contextlib.contextmanager
def sshd(folder: Path) -> Iterator[Sshd]:
    """Run one that lets the user of this process in, with its key alone.

    Its sessions have another home: what a person's ``.bashrc`` starts may wait for a
    lock that the session before left, because tests kill sessions.
    """
    program = neighbour_sshd()
    for kind in ("ed25519", "rsa"):
        make_key(folder / f"host_{kind}", kind)
    make_key(folder / "user_key")
    (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    port = free_port()
    (folder / "config").write_text(CONFIG.format(port=port, folder=folder))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it shuts its unprivileged half in
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-D", "-e", "-f", folder / "config"], stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        server = Sshd(folder, port, getpass.getuser())
        wait_for(lambda: "listening" in server.log() or process.poll() is not None)
        assert process.poll() is None, server.log()
        yield server
    finally:
        process.terminate()
        process.wait(10)


def neighbour_sshd() -> Path:
    # Debian keeps it off an ordinary user's PATH; it wants to be called by its full name anyway.
    usual = Path("/usr/sbin/sshd")
    return usual if usual.exists() else neighbour("sshd", "sshd")
