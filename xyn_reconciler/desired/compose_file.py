"""``compose.yaml`` of a pack: what an app that Xyn runs may say of itself.

Pure. Only what is known here is allowed: no privilege, no namespace, device or folder of the
host, no socket of the engine, nothing that reads another file. What is handed to compose is
this reader's own value as JSON, so that no other reader of YAML sees something else in it.

A value may stand in ``environment`` as ``${NAME}``: ``SETTING_<NAME>`` of the pack's settings,
and ``SECRET_<NAME>`` of the last part of a reference that the pack requires. The trap: they
are in the container's environment then, where whoever rules the engine can read them.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from xyn_reconciler.desired.source import JSON, Source, parse
from xyn_reconciler.desired.wording import did_you_mean, quoted
from xyn_reconciler.model.errors import Problem

Location = tuple[str | int, ...]

_TOP: Final = ("services", "volumes", "networks")
_SERVICE: Final = (
    *("image", "command", "entrypoint", "environment", "ports", "volumes", "networks", "expose"),
    *("depends_on", "healthcheck", "restart", "user", "working_dir", "hostname", "labels"),
    *("read_only", "tmpfs", "shm_size", "init", "stop_signal", "stop_grace_period", "cap_drop"),
    *("cap_add", "security_opt", "mem_limit", "memswap_limit", "cpus", "pids_limit", "ulimits"),
)
_CAPABILITIES: Final = frozenset(
    {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"}
    | {"NET_BIND_SERVICE", "SYS_CHROOT", "MKNOD", "AUDIT_WRITE", "SETFCAP"}
)
"""Docker's own, which may be given back after ``cap_drop: [ALL]``; without ``NET_RAW``."""
_LOOPBACK: Final = ("127.0.0.1", "::1")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_PORT: Final = re.compile(
    r"(?:(?P<host>[0-9.]+|\[[0-9a-f:]+\]):)?(?:(?P<at>[0-9]{1,5}):)?[0-9]{1,5}(?:/(?:tcp|udp))?"
)
_VOLUME: Final = re.compile(r"(?P<name>[a-zA-Z0-9][a-zA-Z0-9_.-]*):/[^:$]*(?::(?:ro|rw))?")
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_OTHER_DOLLAR: Final = re.compile(r"(?<!\$)(?:\$\$)*\$(?!\$)")
_DIGEST: Final = re.compile(r"(?:[a-z0-9][a-z0-9._:/-]*@)?sha256:[0-9a-f]{64}")
_OTHERS_LABELS: Final = ("com.docker.", "xyn.")
_RESTARTS: Final = ("no", "always", "on-failure", "unless-stopped")


def read_compose(path: str, text: str) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Give the file's value, None where anything in it is not allowed, and why."""
    source, problems = parse(path, text)
    if source is None or problems:
        return None, problems
    found = sorted(set(_file(source)))
    value = source.value
    return (value if isinstance(value, dict) and not found else None), found


def variables_of(document: Mapping[str, Any]) -> set[str]:
    """Give the names that ``environment`` takes values from."""
    return {
        name
        for service in document["services"].values()
        for _, value in _pairs(service.get("environment"))
        for name in _VARIABLE.findall(str(value))
    }


def images_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Give the image of each service."""
    return {name: service["image"] for name, service in document["services"].items()}


def is_pinned(image: str) -> bool:
    """Whether an image is named by its digest: it cannot become another one."""
    return _DIGEST.fullmatch(image) is not None


# ── the values of environment ────────────────────────────────────────────────────────────────────

ValueSource = tuple[Literal["secret", "setting"], str]


def value_sources(
    definition: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, ValueSource]:
    """Give what ``${NAME}`` may be in a compose file: a setting's value, a secret's reference."""
    found: dict[str, ValueSource] = {}
    for name, value in settings.items():
        if isinstance(value, str | int | float) and not name.endswith("_ref"):
            text = value if isinstance(value, str) else json.dumps(value)
            found[f"SETTING_{_upper(name)}"] = ("setting", text)
    for reference in (definition.get("requires") or {}).get("secrets") or ():
        found[f"SECRET_{_upper(reference.rpartition('/')[2])}"] = ("secret", reference)
    return found


def _upper(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


# ── what is allowed ──────────────────────────────────────────────────────────────────────────────


def _file(source: Source) -> Iterator[Problem]:
    value = source.value
    services = value.get("services") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(services, dict):
        yield source.problem((), "missing_key", "compose.yaml needs services")
        return
    yield from _keys(source, (), value, _TOP)
    yield from _dollars(source, (), value)
    for kind, allowed in (("volumes", ("labels",)), ("networks", ("internal", "labels"))):
        declared = value.get(kind)
        if declared is not None and not isinstance(declared, dict):
            yield source.problem((kind,), "wrong_type", f"{kind} has to be a mapping")
            continue
        for name, each in (declared or {}).items():
            if each is not None:
                yield from _keys(source, (kind, name), each, allowed)
                yield from _labels(source, (kind, name, "labels"), each)
    if not services:
        yield source.problem(("services",), "missing_key", "compose.yaml needs a service")
    for name, service in services.items():
        if not _NAME.fullmatch(name):
            message = "a service is called with a-z, 0-9, _ and -"
            yield source.problem(("services", name), "bad_value", message, at_key=True)
        yield from _service(source, ("services", name), service, value)


def _service(
    source: Source, at: Location, service: JSON, whole: dict[str, JSON]
) -> Iterator[Problem]:
    yield from _keys(source, at, service, _SERVICE)
    if not isinstance(service, dict):
        return
    if not isinstance(service.get("image"), str):
        yield source.problem(at, "missing_key", "a service needs an image; nothing is built here")
    volumes = whole.get("volumes")
    declared = volumes if isinstance(volumes, dict) else {}
    rules: dict[str, tuple[str, Callable[[JSON], str | None]]] = {
        "ports": ("port_exposed", _port),
        "volumes": ("host_mount", lambda volume: _volume(volume, declared)),
        "cap_add": ("privileged", _capability),
        "security_opt": ("privileged", _option),
    }
    for key, (code, why_not) in rules.items():
        items = service.get(key, [])
        if not isinstance(items, list):
            yield source.problem((*at, key), "wrong_type", f"{key} has to be a list")
            continue
        for index, each in enumerate(items):
            if why := why_not(each):
                yield source.problem((*at, key, index), code, why)
    restart = service.get("restart", "no")
    if not isinstance(restart, str) or restart.partition(":")[0] not in _RESTARTS:
        message = f"restart is one of {', '.join(map(quoted, _RESTARTS))}"
        yield source.problem((*at, "restart"), "bad_value", message)
    yield from _networks(source, (*at, "networks"), service.get("networks"), whole.get("networks"))
    yield from _labels(source, (*at, "labels"), service)
    yield from _environment(source, (*at, "environment"), service.get("environment", {}))


def _networks(source: Source, at: Location, named: JSON, declared: JSON) -> Iterator[Problem]:
    known = ["default", *(declared if isinstance(declared, dict) else ())]
    for each in named if isinstance(named, list | dict) else ():
        if each not in known:
            message = f"networks declares no {quoted(str(each))}"
            yield source.problem(at, "unknown_network", message)
    for name, each in named.items() if isinstance(named, dict) else ():
        if each is not None:
            yield from _keys(source, (*at, name), each, ("aliases",))


def _labels(source: Source, at: Location, holder: JSON) -> Iterator[Problem]:
    """Report labels by which the engine's own tools, or Xyn, know what is theirs."""
    for name, _ in _pairs(holder.get("labels") if isinstance(holder, dict) else None):
        if name.startswith(_OTHERS_LABELS):
            message = f"{quoted(name)}: labels that begin so are not the app's to set"
            yield source.problem(at, "reserved_name", message)


def _environment(source: Source, at: Location, given: JSON) -> Iterator[Problem]:
    """Report variables without a value: compose would take that of the node."""
    if not isinstance(given, dict | list):
        yield source.problem(at, "wrong_type", "environment has to be a mapping")
    for name, value in _pairs(given):
        if value is None or isinstance(value, dict | list):
            message = f"give {quoted(name)} a text, or take it out: nothing of the node's is shown"
            yield source.problem(at, "variable", message)


def _capability(name: JSON) -> str | None:
    if isinstance(name, str) and name in _CAPABILITIES:
        return None
    return f"no app gets {name}; there is {', '.join(sorted(_CAPABILITIES))}"


def _option(option: JSON) -> str | None:
    if option in ("no-new-privileges:true", "no-new-privileges"):
        return None
    return "only no-new-privileges:true stands here"


def _keys(source: Source, at: Location, value: JSON, known: tuple[str, ...]) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield source.problem(at, "wrong_type", "this has to be a mapping")
        return
    for key in value:
        if key not in known:
            hint = did_you_mean(key, known) or f"; there is {', '.join(known)}"
            message = f"an app of a pack may not say {quoted(key)}{hint}"
            yield source.problem((*at, key), "not_allowed", message, at_key=True)


def _dollars(source: Source, at: Location, value: JSON) -> Iterator[Problem]:
    """Compose replaces variables everywhere; here only values of ``environment`` have any."""
    if isinstance(value, dict):
        for key, each in value.items():
            if "$" in key:
                message = "no variable is replaced in a key"
                yield source.problem((*at, key), "variable", message, at_key=True)
            yield from _dollars(source, (*at, key), each)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _dollars(source, (*at, index), each)
    elif isinstance(value, str):
        environment = len(at) > 3 and at[0] == "services" and at[2] == "environment"  # noqa: PLR2004 - its depth
        left = _VARIABLE.sub("", value) if environment else value
        if _OTHER_DOLLAR.search(left):
            message = "${NAME} stands in environment alone, without a default; write $$ for a $"
            yield source.problem(at, "variable", message)


def _port(port: JSON) -> str | None:
    advice = 'write "127.0.0.1:8080:80": ports are open to this machine alone'
    if isinstance(port, dict):
        unknown = port.keys() - {"target", "published", "host_ip", "protocol", "mode", "name"}
        if unknown or port.get("host_ip") not in _LOOPBACK or port.get("mode", "host") != "host":
            return f"{advice} (host_ip: 127.0.0.1)"
        return None
    found = _PORT.fullmatch(port) if isinstance(port, str) else None
    if found is None or (found["host"] or "").strip("[]") not in _LOOPBACK:
        return advice
    return None


def _volume(volume: JSON, declared: Mapping[str, JSON]) -> str | None:
    if isinstance(volume, dict):
        kind, name = volume.get("type"), str(volume.get("source"))
        if kind not in ("volume", "tmpfs") or volume.keys() - {
            "type",
            "source",
            "target",
            "read_only",
        }:
            return "type is volume or tmpfs: no folder of the host"
        if kind == "tmpfs":
            return None
    else:
        found = _VOLUME.fullmatch(volume) if isinstance(volume, str) else None
        if found is None:
            return "write NAME:/folder, with NAME under volumes: no folder of the host"
        name = found["name"]
    if name not in declared:
        return f"volumes declares no {quoted(name)}"
    return None


def _pairs(given: JSON) -> Iterator[tuple[str, JSON]]:
    """Names and values of ``environment`` or ``labels``; None for one that has no value."""
    if isinstance(given, dict):
        yield from given.items()
    for each in given if isinstance(given, list) else ():
        name, is_set, value = str(each).partition("=")
        yield name, value if is_set else None
