"""The one list of environment variables that Xyn reads (seed 35.4).

``xynctl preflight``, the ``.env`` template and ``docs/reference/environment.md``
are made of it. Packs and providers register theirs here too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable; ``provider`` names the provider whose key it is."""

    name: str
    meaning: str
    secret: bool = False
    provider: str | None = None
    compose: bool = False
    """Whether ``docker compose up`` cannot do without it."""


VARIABLES: Final = (
    Variable("OPENAI_API_KEY", "key of the provider openai", secret=True, provider="openai"),
    Variable(
        "ANTHROPIC_API_KEY", "key of the provider anthropic", secret=True, provider="anthropic"
    ),
    Variable(
        "POSTGRES_PASSWORD",
        "password of the Postgres that compose starts",
        secret=True,
        compose=True,
    ),
    Variable("DATABASE_URL", "a Postgres to use in place of the embedded one", secret=True),
    Variable("XYN_HOME", "the node's folder (default .xyn, here or further up)"),
    Variable("XYN_PORT", "where the node answers (default 8080)"),
    Variable(
        "XYN_HOST",
        "the address that the node binds (default: 127.0.0.1 and ::1); another needs XYN_TOKEN",
    ),
    Variable(
        "XYN_TOKEN",
        "of a node: what each request must bring beyond loopback, 16 characters or more;"
        " of xynctl: the token of whoever acts",
        secret=True,
    ),
    Variable("XYN_URL", "the node that xynctl asks, where neither --home nor XYN_HOME says it"),
    Variable("XYN_LOG", "stdout: processes log to standard output, not to run/*.log (containers)"),
    Variable(
        "XYN_PUBLISHED_ON_LOOPBACK",
        "1 in compose.yaml alone: the container's port is published on this machine alone",
    ),
    Variable("NO_COLOR", "anything: xynctl uses no colors"),
)


_NOT_IN_ENV: Final = frozenset({"XYN_PUBLISHED_ON_LOOPBACK", "XYN_HOME", "XYN_HOST", "XYN_LOG"})
"""What ``compose.yaml`` sets itself; a ``.env`` that set it would be another truth."""


def missing(
    environment: Mapping[str, str], *, providers: Mapping[str, bool], compose: bool
) -> list[str]:
    """Give a sentence for each variable that this start cannot do without, with the fix.

    Of the enabled ``providers`` (name to enabled) at least one needs its key
    (seed 35.3); with all of them disabled none is asked for.
    """
    found = [
        f"{variable.name} is missing: {variable.meaning}; set it in .env"
        for variable in VARIABLES
        if compose and variable.compose and not environment.get(variable.name)
    ]
    keys = [v for v in VARIABLES if v.provider is not None and providers.get(v.provider)]
    if keys and not any(environment.get(key.name) for key in keys):
        names = " or ".join(key.name for key in keys)
        found.append(
            f"{names} is missing: node.yaml enables {' and '.join(str(k.provider) for k in keys)}; "
            "set a key in .env, or disable the provider there"
        )
    return found


def template(postgres_password: str) -> str:
    """Give the text of a ``.env`` to fill in, with a fresh password for compose's Postgres."""
    lines = [
        "# Settings of this Xyn node; read by xynctl preflight and docker compose.",
        "# No provider is enabled at first, so no key is needed. To turn one on: node.yaml with",
        "# providers: {openai: {enabled: true}, anthropic: {enabled: false}} and its key here.",
    ]
    for variable in VARIABLES:
        if variable.name in _NOT_IN_ENV:
            continue
        lines += ["", f"# {variable.meaning}"]
        if variable.compose:
            lines.append(f"{variable.name}={postgres_password}")
        else:
            lines.append(f"# {variable.name}=")
    return "\n".join(lines) + "\n"
