"""Where ``git.repo.clone`` may fetch from, and how git is told to go exactly there.

git resolves names by itself, so the address that egress allowed is pinned for it
(``http.curloptResolve``, ssh's ``HostName``), and it follows no redirect. Credentials reach
git by its environment or a file in memory: no disk, no argument, no repository, no
setting of whoever runs the node has them. The trap: anything of a URL that another program
reads as an option or a helper (``ext::``, ``-x``) is refused before git sees it.
"""

import base64
import contextlib
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.egress import permitted, resolve
from xyn_reconciler.action.memory_file import memory_file
from xyn_reconciler.model.errors import PermanentError

if TYPE_CHECKING:
    from xyn_reconciler.store.managed_git import Remote

_SSH: Final = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})@)?(?P<where>[^/@\s]+)"
    r"(?P<path>/[A-Za-z0-9_.~+/-]{1,1000})"
)
_MACHINE_FILES: Final = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")

Lend: TypeAlias = Callable[[str], str]
"""Gives the path of a file with this text."""


@contextlib.contextmanager
def remote(inputs: Mapping[str, Any], context: ActionContext) -> "Iterator[Remote]":
    """Give the remote of an ``http``, ``https`` or ``ssh`` URL; its files are gone in the end.

    Raises ``PermanentError`` (``invalid_url``, ``secret_not_found``, ``auth_failed``,
    ``egress_denied``) and ``TemporaryError`` (``host_unresolved``, ``timeout``).
    """
    url = str(inputs["url"])
    make = _ssh if url.lower().startswith("ssh:") else _http
    with contextlib.ExitStack() as lent:
        yield make(url, inputs, context, lambda text: lent.enter_context(memory_file(text)))


def _http(url: str, inputs: Mapping[str, Any], context: ActionContext, lend: Lend) -> "Remote":
    from xyn_reconciler.action.url import parse_url  # noqa: PLC0415 - its client takes 5 MiB
    from xyn_reconciler.store.managed_git import Remote  # noqa: PLC0415 - dulwich

    _parsed, origin = parse_url(url)
    if "?" in url or "#" in url:
        raise PermanentError("invalid_url", "the URL of a repository has no query and no fragment")
    if "key_ref" in inputs:
        raise PermanentError("invalid_url", "key_ref is for ssh:// alone")
    settings = {"http.followRedirects": "false"}
    # Spelt as it was looked up: a name that git spells otherwise would be looked up again.
    host = origin.host.rstrip(".")
    address = _allowed(host, origin.port, context)
    if address is not None:
        settings["http.curloptResolve"] = f"{host}:{origin.port}:{address}"
    where = f"[{host}]" if ":" in host else host
    header = _authorization(inputs.get("auth"), context)
    if header is not None:
        settings["http.extraHeader"] = f"Authorization: {header}"
    environment = {}
    if "ca" in inputs:
        environment["GIT_SSL_CAINFO"] = lend(inputs["ca"])
    return Remote(
        url=f"{origin.scheme}://{where}:{origin.port}{urlsplit(url).path}",
        protocol="https" if origin.scheme == "https" else "http",
        settings=settings,
        environment=environment,
    )


def _allowed(host: str, port: int, context: ActionContext) -> str | None:
    """Give the address to go to, in brackets if need be; None where the host is one itself."""
    addresses = resolve(host, port, timeout=context.seconds_left())
    allowed = permitted(host, port, addresses, context.egress)[0]
    if str(allowed) == host:
        return None
    return f"[{allowed}]" if allowed.version == 6 else str(allowed)  # noqa: PLR2004 - IPv6


def _authorization(auth: Mapping[str, Any] | None, context: ActionContext) -> str | None:
    if auth is None:
        return None
    if "bearer_ref" in auth:
        return f"Bearer {_line(auth['bearer_ref'], context)}"
    user = auth["basic"]["user"]
    password = _line(auth["basic"]["password_ref"], context)
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _line(reference: str, context: ActionContext) -> str:
    value = context.credential(reference)
    if "\n" in value or "\r" in value:
        message = f"{reference} has several lines, and a header has one"
        raise PermanentError("invalid_secret", message)
    return value


def _ssh(url: str, inputs: Mapping[str, Any], context: ActionContext, lend: Lend) -> "Remote":
    from xyn_reconciler.action.url import parse_url  # noqa: PLC0415 - as above
    from xyn_reconciler.store.managed_git import Remote  # noqa: PLC0415 - as above

    found = _SSH.fullmatch(url)
    if found is None:
        raise PermanentError(
            "invalid_url", f"{url!r} is not ssh://user@host:port/path of plain characters"
        )
    _parsed, origin = parse_url(f"http://{found['where']}/")
    port = origin.port if ":" in found["where"].rpartition("]")[2] else 22
    if {"auth", "ca"} & inputs.keys():
        raise PermanentError("invalid_url", "auth and ca are for http and https: ssh has key_ref")
    if "key_ref" not in inputs:
        raise PermanentError("auth_failed", f"name the private key for {origin.host}: key_ref")
    key = context.credential(inputs["key_ref"])
    address = _allowed(origin.host, port, context)
    known = inputs.get("known_hosts") or context.known_hosts
    if known:
        files = lend(known if known.endswith("\n") else f"{known}\n")
    else:
        files = " ".join(str(Path(name).expanduser()) for name in _MACHINE_FILES)
    shown = origin.host if port == 22 else f"[{origin.host}]:{port}"  # noqa: PLR2004 - ssh's own
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": files,
        "GlobalKnownHostsFile": "/dev/null",
        "HostKeyAlias": shown,
        "HostName": (address or origin.host).strip("[]"),
        "IdentityFile": lend(key.strip() + "\n"),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "ProxyCommand": "none",
        "ForwardAgent": "no",
        "PermitLocalCommand": "no",
        "ServerAliveInterval": "15",
    }
    command = ["ssh", "-F", "none", *(f"-o{name}={value}" for name, value in options.items())]
    return Remote(
        url=url,
        protocol="ssh",
        environment={"GIT_SSH_COMMAND": shlex.join(command), "GIT_SSH_VARIANT": "ssh"},
    )
