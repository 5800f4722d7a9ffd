"""``xynctl up --compose``: preflight, then Docker in the folder that holds ``compose.yaml``."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from xyn_reconciler.cli.commands.preflight import ENV_FILE, check
from xyn_reconciler.cli.output import remark
from xyn_reconciler.model.errors import NotFoundError, UnavailableError

_FILES: Final = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


def compose(home: str | None) -> int:
    """Run it in the foreground; its exit code is ours. 1 where something is missing."""
    if not any(Path(name).is_file() for name in _FILES):
        raise NotFoundError("no compose.yaml here; stand in the checkout of Xyn")
    missing = check(home, Path(ENV_FILE), os.environ, compose=True)
    for line in missing:
        remark(line)
    if missing:
        remark("nothing was started; xynctl preflight writes a template of .env")
        return 1
    command = _command()
    remark(f"{' '.join(command)} up")
    process = subprocess.Popen([*command, "up"])
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal told it too; it stops its containers and ends by itself.
            continue


def _command() -> list[str]:
    """``docker compose``, or ``docker-compose`` where the plug-in is not there."""
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise UnavailableError(
        "neither docker compose nor docker-compose is installed here; xynctl up needs none"
    )
