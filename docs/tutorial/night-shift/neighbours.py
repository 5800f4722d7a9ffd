"""What the tutorial "A night shift" needs beside a node, on one laptop, until Ctrl-C.

- The shop's host is this machine: an sshd of your own, that lets in one key and knows ``shopctl``.
- The model is aimock: it speaks OpenAI's protocol and answers what ``answers`` below says.
- The Checkmk site is the class ``Site``: it takes acknowledgements, of whoever knows its secret.
- The image for the check is busybox, imported into Docker as night-shift/busybox.

Keys, logs and the shop are in ``~/night-shift-world``. Standard library alone.
"""

# ruff: noqa: INP001 - a script, not a package

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SSHD_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {world}/host_key
AuthorizedKeysFile {world}/key.pub
SetEnv PATH={world}/bin:/usr/local/bin:/usr/bin:/bin HOME={world}
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
"""

SHOPCTL = """\
#!/bin/sh
# shopctl restart|reload SERVICE
for did in "$1 of $2 begins" "two workers are stuck" "they are gone" "$2 answers again"; do
  echo "$did" | tee -a {world}/shop.log
  sleep {pause}
done
"""

ANSWER = {"command": "restart", "why": "both workers are stuck, and a restart frees them"}
PASSWORD = "automation a-secret-of-the-site"  # noqa: S105 - of nothing but this page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ssh", type=int, default=2222, help="the port of sshd")
    parser.add_argument("--model", type=int, default=4010, help="the port of aimock")
    parser.add_argument("--site", type=int, default=5000, help="the port of the Checkmk site")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between the shop's lines")
    options = parser.parse_args()
    world = Path.home() / "night-shift-world"
    (world / "bin").mkdir(parents=True, exist_ok=True)
    import_image(world)
    with contextlib.ExitStack() as stack:
        for command in (sshd(world, options.ssh, options.pause), model(world, options.model)):
            stack.enter_context(running(command, world))
        wait_for_model(options.model)
        try:
            server = ThreadingHTTPServer(("127.0.0.1", options.site), Site)
        except OSError as error:
            sys.exit(f"port {options.site}: {error.strerror}; --site takes another")
        with server as site:
            say("ready; Ctrl-C ends it")
            with contextlib.suppress(KeyboardInterrupt):
                site.serve_forever()


def sshd(world: Path, port: int, pause: float) -> list[str]:
    for name in ("host_key", "key"):
        if not (world / name).exists():
            new = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(world / name)]
            subprocess.run(new, check=True)
    shopctl = world / "bin" / "shopctl"
    shopctl.write_text(SHOPCTL.format(world=world, pause=pause))
    shopctl.chmod(0o755)
    config = world / "sshd_config"
    config.write_text(SSHD_CONFIG.format(world=world, port=port))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    # Not on everybody's PATH; and it insists on its full name.
    return [needed("/usr/sbin/sshd", "apt install openssh-server"), "-D", "-e", "-f", str(config)]


def model(world: Path, port: int) -> list[str]:
    usage = {"input_tokens": 180, "output_tokens": 24}
    answers = [{"match": {}, "response": {"content": json.dumps(ANSWER), "usage": usage}}]
    fixtures = world / "answers.json"
    fixtures.write_text(json.dumps({"fixtures": answers}))
    llmock = needed("llmock", "npm install --global @copilotkit/aimock")
    return [llmock, "--port", str(port), "--fixtures", str(fixtures), "--strict"]


def import_image(world: Path) -> None:
    """Make an image of one program, so that nothing has to be pulled."""
    packed = world / "busybox.tar"
    with tarfile.open(packed, "w") as tar:
        tar.add(needed("busybox", "apt install busybox-static"), "bin/busybox")
        for name in ("sh", "cat", "grep", "echo"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    docker = needed("docker", "apt install docker.io")
    with (world / "docker.log").open("wb") as log:
        command = [docker, "import", str(packed), "night-shift/busybox"]
        if subprocess.run(command, stdout=log, stderr=log, check=False).returncode:
            sys.exit(f"docker does not take the image: {world}/docker.log says why")


class Site(BaseHTTPRequestHandler):
    """As much of a Checkmk site's REST API as this page needs: hosts, and acknowledgements."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {PASSWORD}":
            self.answer(401, {"title": "Unauthorized", "status": 401})
        elif self.path.endswith("/domain-types/host/collections/all"):
            self.answer(200, {"value": [{"extensions": {"name": "localhost"}}]})
        elif self.path.endswith("/domain-types/acknowledge/collections/service"):
            what = f"{asked['service_description']} on {asked['host_name']}"
            say(f"site: {what} is acknowledged: {asked['comment']}")
            self.answer(204, None)
        else:
            self.answer(404, {"title": "Not found", "status": 404})

    def answer(self, status: int, body: object) -> None:
        self.send_response(status)
        if body is not None:
            self.send_header("Content-Type", "application/json")
        self.end_headers()
        if body is not None:
            self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Print only what people want to see."""


@contextlib.contextmanager
def running(command: list[str], world: Path) -> Iterator[None]:
    log = world / f"{Path(command[0]).name}.log"
    with log.open("wb") as to, subprocess.Popen(command, stdout=to, stderr=to) as process:
        time.sleep(0.3)
        if process.poll() is not None:
            sys.exit(f"{command[0]} does not start: {log} says why")
        try:
            yield
        finally:
            process.terminate()


def wait_for_model(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health")
            return
        time.sleep(0.1)
    sys.exit("aimock does not answer")


def say(words: str) -> None:
    print(words, flush=True)  # noqa: T201 - the terminal is whom it speaks to


def needed(program: str, how: str) -> str:
    found = shutil.which(program)
    return found or sys.exit(f"this needs {program}: {how}")


if __name__ == "__main__":
    main()
