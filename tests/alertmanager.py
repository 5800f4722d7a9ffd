"""A real Alertmanager for tests, which tells one receiver or nobody."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.neighbours import neighbour
from tests.running import answers, free_port, wait_for


@contextmanager
def alertmanager(folder: Path, webhook: str = "") -> Iterator[str]:
    """Start one; gives its URL. ``webhook`` is what its receiver has, a line of YAML."""
    program, port = neighbour("prometheus-alertmanager", "alertmanager"), free_port()
    (folder / "alertmanager.yml").write_text(
        "route: {receiver: xyn, group_wait: 0s}\n"
        f"receivers: [{{name: xyn, webhook_configs: [{webhook}]}}]\n"
    )
    with (
        (folder / "alertmanager.log").open("w") as log,
        subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'alerts'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: answers(f"{url}/-/ready"))
            yield url
        finally:
            process.terminate()
