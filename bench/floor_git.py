"""The push's floor: git's own programs behind HTTP, with hooks that do nothing.

``python -m bench.floor_git PORT REPOSITORY``, on the web server that Xyn uses.
The repository has Xyn's own configuration, so git syncs as much in both.
"""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import flask

from flask_ui.serve import bind, serve
from xyn_reconciler.store.git import Repository


def create(path: Path) -> None:
    """Make the bare repository."""
    Repository.create(path)
    for name in ("pre-receive", "post-receive"):
        hook = path / "hooks" / name
        hook.write_text("#!/bin/sh\nexit 0\n")
        hook.chmod(0o755)


def application(repository: str) -> flask.Flask:
    app = flask.Flask(__name__)

    @app.get("/floor.git/info/refs")
    def advertise() -> flask.Response:
        service = flask.request.args["service"]
        banner = f"# service={service}\n".encode()
        refs = _git(service, "--advertise-refs", repository, body=b"")
        content = b"%04x%s0000" % (len(banner) + 4, banner) + refs
        return flask.Response(content, content_type=f"application/x-{service}-advertisement")

    @app.post("/floor.git/git-receive-pack")
    def receive() -> flask.Response:
        body = flask.request.get_data()
        if flask.request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer = _git("git-receive-pack", repository, body=body)
        return flask.Response(answer, content_type="application/x-git-receive-pack-result")

    return app


def _git(service: str, *arguments: str, body: bytes) -> bytes:
    return subprocess.run(
        ["git", service.removeprefix("git-"), "--stateless-rpc", *arguments],
        input=body,
        capture_output=True,
        check=True,
        env={**os.environ, "GIT_PROTOCOL": flask.request.headers.get("Git-Protocol", "")},
    ).stdout


if __name__ == "__main__":
    serve(application(sys.argv[2]), bind(["127.0.0.1"], int(sys.argv[1])))
