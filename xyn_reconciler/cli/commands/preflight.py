"""``xynctl preflight``: see that everything is set that this start needs (seed 35)."""

import argparse
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from xyn_reconciler.cli.find import home_path
from xyn_reconciler.cli.output import answer, remark
from xyn_reconciler.model.errors import InvalidError, UnavailableError, XynError
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
    found += _of_packs(options.home, {**_read_env(file), **os.environ})
    for line in found:
        answer(line)
    if not found:
        answer(f"all set: {len(VARIABLES)} variables known, none missing")
    return 1 if found else 0


def check(
    home: str | None, file: Path, environment: Mapping[str, str], *, compose: bool
) -> list[str]:
    """Give a line for each missing or unsafe setting, with the fix."""
    enabled = _enabled(home)
    if not enabled:
        remark("providers: none enabled, so no key is needed; node.yaml turns one on")
    known = {**_read_env(file), **environment}
    by_default = {name: not elsewhere for name, elsewhere in enabled.items()}
    found = missing(known, providers=by_default, compose=compose)
    if known.get("XYN_PUBLISHED_ON_LOOPBACK"):
        found.append(
            "XYN_PUBLISHED_ON_LOOPBACK is set: it is the word of compose.yaml alone, and opens the "
            "node to whoever reaches its address; take it out"
        )
    if compose:
        for name in _compose_files():
            found += _unsafe_ports(name)
    found += _secrets(Home(home_path(home)))
    return found


def _secrets(home: Home) -> Iterator[str]:
    """Find files of secrets that documents on ``main`` name and that this home has not, or shut."""
    if not home.repository.is_dir():
        return
    from xyn_reconciler.desired.diff import secrets as secrets_of
    from xyn_reconciler.desired.load import kind_of, load
    from xyn_reconciler.model.secret import is_path
    from xyn_reconciler.store.age_files import open_sealed, read_key
    from xyn_reconciler.store.git import MAIN, Repository

    repository = Repository.open(home.repository)
    revision = repository.resolve(MAIN)
    files = {} if revision is None else repository.files(revision)
    loaded = [
        load(path, blob, repository.read(blob))
        for path, blob in files.items()
        if kind_of(path) not in ("other", "pack_file", "prompt", "test")
    ]
    sealed = {each.document_id: each for each in loaded if each.kind == "secret" and each.document}
    named = {
        name
        for each in loaded
        if each.kind != "pack" or _is_set_up(each.path, each.document, files)
        for name in secrets_of(each)
        if is_path(name)
    }
    key = read_key(home.age_key)
    for name in sorted(named):
        if name not in sealed:
            yield f"secret {name} is named and not there: xynctl secret set {name}"
            continue
        try:
            open_sealed(name, sealed[name].document["ciphertext"], [key] if key else [])
        except XynError as error:
            yield error.message


def _enabled(home: str | None) -> dict[str, bool]:
    """Which providers ``node.yaml`` enables, and whether with a ``key_ref`` of its own.

    That of the home's ``main``, else the template's.
    """
    text = _node_yaml(home)
    try:
        providers = yaml.safe_load(text).get("providers") or {}
        return {
            name: "key_ref" in entry for name, entry in providers.items() if entry.get("enabled")
        }
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise InvalidError(
            "node.yaml cannot be read: xynctl validate node.yaml says why"
        ) from error


def _of_packs(home: str | None, known: Mapping[str, str]) -> Iterator[str]:
    """Name what packs ask for and the environment has not.

    References that are no ``env/NAME`` are kept elsewhere: a node alone can tell of those.
    """
    for pack in _packs(home):
        requires = pack.get("requires") or {}
        secrets = [each.removeprefix("env/") for each in requires.get("secrets") or ()]
        named = [each for each in secrets if "/" not in each]
        for name in sorted({*named, *(requires.get("variables") or ())}):
            if not known.get(name):
                yield f"{name} is not set: the pack {pack['id']} asks for it"


def _packs(home: str | None) -> list[Mapping[str, Any]]:
    """The packs that are set up, of the home's ``main``; without one, of where we stand."""
    from xyn_reconciler.desired.load import kind_of, load

    place = Home(home_path(home))
    files: dict[str, bytes] = {}
    if place.repository.is_dir():
        from xyn_reconciler.store.git import MAIN, Repository

        repository = Repository.open(place.repository)
        revision = repository.resolve(MAIN)
        blobs = {} if revision is None else repository.files(revision)
        kinds = ("pack", "pack_settings")
        files = {p: repository.read(blob) for p, blob in blobs.items() if kind_of(p) in kinds}
    elif Path(_NODE_FILE).is_file():
        found = sorted(Path("packs").glob("*/*.*"))
        files = {path.as_posix(): path.read_bytes() for path in found if path.is_file()}
    loaded = (load(path, "", data) for path, data in files.items() if kind_of(path) == "pack")
    return [
        each.document
        for each in loaded
        if each.document and _is_set_up(each.path, each.document, files)
    ]


def _is_set_up(path: str, pack: Mapping[str, Any] | None, paths: Iterable[str]) -> bool:
    """Whether anybody means to use it: one that has settings is until then only there."""
    folder = f"{path.rpartition('/')[0]}/settings."
    return pack is None or "settings" not in pack or any(each.startswith(folder) for each in paths)


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
