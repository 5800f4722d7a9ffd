"""``xynctl preflight``: see that everything is set that this start needs (seed 35)."""

import argparse
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from xyn_reconciler.cli.find import home_path
from xyn_reconciler.cli.output import answer, remark
from xyn_reconciler.model.errors import InvalidError, UnavailableError
from xyn_reconciler.model.variables import VARIABLES, missing, template
from xyn_reconciler.node.home import Home, write_private

_COMPOSE_FILES: Final = (
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
)
ENV_FILE: Final = ".env"
_NODE_FILE: Final = "node.yaml"
_LOOPBACK: Final = ("127.0.0.1", "[::1]", "::1")


def preflight(options: argparse.Namespace) -> int:
    """Name what is missing, a line each (1); write a template of the file where there is none."""
    file = Path(options.env)
    if not file.exists():
        try:
            write_private(file, template(secrets.token_urlsafe(24)))
        except OSError as error:
            raise UnavailableError(
                f"{file.absolute()} cannot be written ({error.strerror}); stand in the checkout, "
                "or name the file: --env FILE"
            ) from error
        remark(f"wrote {file}: fill in what you need")
    found = check(options.home, file, os.environ, compose=any(_compose_files()))
    for line in found:
        answer(line)
    if not found:
        answer(f"all set: {len(VARIABLES)} variables known, none missing")
    return 1 if found else 0


def check(
    home: str | None, file: Path, environment: Mapping[str, str], *, compose: bool
) -> list[str]:
    """Give a line for each missing or unsafe setting, with the fix."""
    providers = _providers(home)
    if not any(providers.values()):
        remark("providers: none enabled, so no key is needed; node.yaml turns one on")
    known = {**_read_env(file), **environment}
    found = missing(known, providers=providers, compose=compose)
    if known.get("XYN_PUBLISHED_ON_LOOPBACK"):
        found.append(
            "XYN_PUBLISHED_ON_LOOPBACK is set: it is the word of compose.yaml alone, and opens the "
            "node to whoever reaches its address; take it out"
        )
    if compose:
        for name in _compose_files():
            found += _unsafe_ports(name)
    return found


def _providers(home: str | None) -> dict[str, bool]:
    """Which providers ``node.yaml`` enables: that of the home's ``main``, else the template's."""
    text = _node_yaml(home)
    try:
        providers = yaml.safe_load(text).get("providers") or {}
        return {name: bool(entry["enabled"]) for name, entry in providers.items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise InvalidError(
            "node.yaml cannot be read: xynctl validate node.yaml says why"
        ) from error


def _node_yaml(home: str | None) -> bytes:
    """Of the home's ``main``; without one, of the folder that we stand in, else the template's."""
    from xyn_reconciler.template import template_files

    place = Home(home_path(home))
    if place.repository.is_dir():
        from xyn_reconciler.store.git import MAIN, Repository

        repository = Repository.open(place.repository)
        revision = repository.resolve(MAIN)
        content = None if revision is None else repository.read_path(revision, _NODE_FILE)
        if content is not None:
            return content
    if Path(_NODE_FILE).is_file():
        return Path(_NODE_FILE).read_bytes()
    return dict(template_files())[_NODE_FILE]


def _read_env(file: Path) -> dict[str, str]:
    """Read ``NAME=value`` lines; comments and empty lines are passed over, quotes taken off."""
    if not file.exists():
        return {}
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            found[name.removeprefix("export ").strip()] = value.strip().strip("'\"")
    return found


def _compose_files() -> list[Path]:
    return [Path(name) for name in _COMPOSE_FILES if Path(name).is_file()]


def _unsafe_ports(file: Path) -> Iterator[str]:
    """Find ports that reach further than this machine while no token is asked for.

    ``XYN_PUBLISHED_ON_LOOPBACK=1`` says that the published ports stand on
    loopback alone; that has to be true in each file that compose reads.
    """
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        services = document.get("services") or {}
        for name, service in services.items():
            if service.get("network_mode") == "host":
                yield (
                    f"{file}: service {name} is on the host's network, so its ports are open to "
                    "others; publish 127.0.0.1: ports instead"
                )
            for port in service.get("ports") or []:
                if not _on_loopback(port):
                    yield (
                        f"{file}: service {name} publishes {port!r} beyond this machine, and "
                        "XYN_PUBLISHED_ON_LOOPBACK asks for no token; write 127.0.0.1: before it"
                    )
    except (yaml.YAMLError, AttributeError, TypeError, UnicodeDecodeError) as error:
        yield f"{file} cannot be read: {error}"


def _on_loopback(port: Any) -> bool:  # noqa: ANN401 - short or long form
    if isinstance(port, dict):
        return str(port.get("host_ip", "")) in _LOOPBACK
    return str(port).startswith(("127.0.0.1:", "[::1]:"))
