"""What to bring up, mend and take down of the apps that packs run here (seed 9A.2). Pure.

A pack whose ``attachment`` is ``managed`` has an app, its ``compose.yaml``; one that is
``hybrid`` has it unless its settings name an ``endpoint``. An app is kept as declared: each
look compares what runs with what is wanted, however the difference came about. What is
taken down is only ever what the inventory says this node brought up; volumes stay.
"""

import datetime as dt
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from xyn_reconciler.desired.compose_file import (
    images_of,
    is_pinned,
    read_compose,
    value_sources,
    variables_of,
)
from xyn_reconciler.model.run import PlanPack
from xyn_reconciler.store.managed_apps import ManagedApp, Status

UNAVAILABLE: Final = "EngineUnavailable"
WANTED_LABEL: Final = "xyn.wanted"
"""On each container: the digest of what it was made of."""
FIRST_PAUSE: Final = dt.timedelta(seconds=5)
LONGEST_PAUSE: Final = dt.timedelta(minutes=5)
CALM: Final = dt.timedelta(minutes=2)
"""How long an app has to be as declared until what it cost before counts no more."""


@dataclass(frozen=True, slots=True)
class App:
    """An app that should run: what compose is given, and the values that it takes."""

    pack_id: str
    project: str
    document: Mapping[str, Any]
    environment: Mapping[str, str]
    wanted: str
    """Digest of both; a value in it cannot be guessed from it."""

    @property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        services: Mapping[str, Mapping[str, Any]] = self.document["services"]
        return services


@dataclass(frozen=True, slots=True)
class Refused:
    """An app that should run and cannot be as it is declared."""

    pack_id: str
    project: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a project, as the engine tells."""

    container_id: str
    service: str
    state: str
    """``running``, ``exited``, ``paused``, ``restarting``, ..."""
    exit_code: int
    health: str | None
    wanted: str | None
    fingerprint: str
    """Digest of what people can change of it while it is there."""
    outdated: bool
    """Whether its image's name means another image by now."""


@dataclass(frozen=True, slots=True)
class BringUp:
    """Have compose make it so; ``remove`` are containers that it would not mend."""

    app: App
    reason: Literal["Declared", "Changed", "Drifted"]
    message: str
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TakeDown:
    pack_id: str
    project: str


@dataclass(frozen=True, slots=True)
class Say:
    """Nothing to do but to say how it is."""

    pack_id: str
    status: Status
    reason: str
    message: str
    calm: bool = False


Decision = BringUp | TakeDown | Say

# ── what is wanted ───────────────────────────────────────────────────────────────────────────────


def has_app(definition: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether Xyn is to run the system of a pack."""
    attachment = definition.get("attachment")
    return attachment == "managed" or (attachment == "hybrid" and not settings.get("endpoint"))


def app_of(  # noqa: PLR0911 - each is one reason
    definition: Mapping[str, Any],
    pack: PlanPack | None,
    *,
    node_id: str,
    images: Iterable[str],
    secret: Callable[[str], str | None],
    key: bytes,
) -> App | Refused:
    """Give what should run for a pack that :func:`has_app`."""
    pack_id = definition["id"]
    project = project_name(node_id, pack_id)
    if pack is None:
        message = f"the pack is made for Xyn {definition.get('xyn_core')}"
        return Refused(pack_id, project, "NotForThisVersion", message)
    text = pack.files.get("compose.yaml")
    if text is None:
        return Refused(
            pack_id, project, "NoComposeFile", f"packs/{pack_id}/compose.yaml is missing"
        )
    document, problems = read_compose(f"packs/{pack_id}/compose.yaml", text)
    if document is None:
        return Refused(pack_id, project, "NotAllowed", "; ".join(map(str, problems[:5])))
    allowed = set(images)
    for service, image in images_of(document).items():
        if not is_pinned(image) and image not in allowed:
            message = (
                f"{service}: {image} is named neither by its digest nor in containers.allow of"
                " node.yaml"
            )
            return Refused(pack_id, project, "ImageNotAllowed", message)
    sources = value_sources(definition, pack.settings)
    environment: dict[str, str] = {}
    for name in sorted(variables_of(document)):
        if name not in sources:
            message = f"${{{name}}} is none of {', '.join(sorted(sources)) or 'nothing'}"
            return Refused(pack_id, project, "UnknownVariable", message)
        kind, value = sources[name]
        found = secret(value) if kind == "secret" else value
        if found is None:
            return Refused(pack_id, project, "SecretMissing", f"{value} cannot be opened here")
        environment[name] = found
    told = json.dumps([document, environment], sort_keys=True).encode()
    wanted = hmac.digest(key, told, hashlib.sha256).hex()
    return App(pack_id, project, _labelled(document, wanted), environment, wanted)


def project_name(node_id: str, pack_id: str) -> str:
    """Give the name that compose knows it by: no two packs and no two nodes share one."""
    plain = f"xyn-{node_id}-{pack_id}"
    name = re.sub(r"[^a-z0-9_-]", "-", plain.lower())
    mark = hashlib.sha256(f"{node_id} {pack_id}".encode()).hexdigest()[:8]
    return f"{name[:50]}-{mark}"


def _labelled(document: Mapping[str, Any], wanted: str) -> dict[str, Any]:
    """Give it with a mark on every service, and with what none of them goes without."""
    services = {
        name: {
            "restart": "unless-stopped",
            **service,
            "security_opt": ["no-new-privileges:true"],
            "labels": {**_labels(service.get("labels")), WANTED_LABEL: wanted},
        }
        for name, service in document["services"].items()
    }
    return {**document, "services": services}


def _labels(given: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    if isinstance(given, dict):
        return given
    return dict(str(each).partition("=")[::2] for each in given or ())


# ── what to do ───────────────────────────────────────────────────────────────────────────────────


def decide(
    wanted: Mapping[str, App | Refused],
    known: Mapping[str, ManagedApp],
    running: Mapping[str, tuple[Container, ...]],
    now: dt.datetime,
) -> list[Decision]:
    """Give what has to be done; ``running`` is by project."""
    decisions: list[Decision] = [
        TakeDown(pack_id, row.project) for pack_id, row in known.items() if pack_id not in wanted
    ]
    for pack_id, app in wanted.items():
        row = known.get(pack_id)
        if isinstance(app, Refused):
            # What runs stays as it was last declared rightly: as a revision that is refused.
            decisions.append(Say(pack_id, "failing", app.reason, app.message))
        else:
            decisions.append(_of_app(app, row, running.get(app.project, ()), now))
    return decisions


def _of_app(
    app: App, row: ManagedApp | None, containers: tuple[Container, ...], now: dt.datetime
) -> Decision:
    reason: Literal["Declared", "Changed", "Drifted"] = "Drifted"
    message = "it is not up yet"
    found: list[tuple[str, str | None]] = []
    if row is None or not row.services:
        reason = "Declared"
    elif row.wanted != app.wanted:
        reason, message = "Changed", "it is declared otherwise now"
    else:
        found = drift(app, row, containers)
        if not found:
            return _as_declared(app, row, containers, now)
        message = "; ".join(dict.fromkeys(each for each, _ in found))
    if row is not None and row.next_try_at is not None and now < row.next_try_at:
        waits = row.wanted == app.wanted or row.reason == UNAVAILABLE
        if waits and row.status == "failing":
            return Say(app.pack_id, "failing", row.reason, row.message)
        if waits:
            return Say(app.pack_id, "failing", reason, message)
    remove = tuple(each for _, each in found if each is not None)
    return BringUp(app, reason, message, remove)


def drift(
    app: App, row: ManagedApp, containers: tuple[Container, ...]
) -> list[tuple[str, str | None]]:
    """Give how what runs differs from what is declared, and the container that has to go for it."""
    found: list[tuple[str, str | None]] = []
    brought_up = {each["name"]: each.get("fingerprint") for each in row.services}
    for each in containers:
        service = app.services.get(each.service)
        if service is None:
            found.append((f"{each.service} does not belong to it", each.container_id))
        elif each.wanted != app.wanted:
            found.append((f"{each.service} is of another declaration", each.container_id))
        elif each.outdated:
            found.append((f"the image of {each.service} is another one now", each.container_id))
        elif each.fingerprint != brought_up.get(each.service):
            found.append((f"{each.service} was changed by hand", each.container_id))
        elif each.state not in ("running", "restarting") and not _is_done(service, each):
            found.append((f"{each.service} is {each.state} ({each.exit_code})", each.container_id))
    there = {each.service for each in containers}
    found += [(f"{name} is gone", None) for name in app.services if name not in there]
    return found


def _is_done(service: Mapping[str, Any], container: Container) -> bool:
    """Whether a service that is to run once has done so."""
    return service["restart"] == "no" and (container.state, container.exit_code) == ("exited", 0)


def _as_declared(
    app: App, row: ManagedApp, containers: tuple[Container, ...], now: dt.datetime
) -> Say:
    calm = row.next_try_at is None or now > row.next_try_at + CALM
    sick = [f"{each.service} is unhealthy" for each in containers if each.health == "unhealthy"]
    sick += [
        f"{each.service} ends again and again" for each in containers if each.state == "restarting"
    ]
    if sick:
        return Say(app.pack_id, "failing", "Unhealthy", "; ".join(sick))
    if row.status == "up" and not calm:
        return Say(app.pack_id, "up", row.reason, row.message)
    mended = row.reason == "Mended"
    return Say(
        app.pack_id,
        "up",
        "Mended" if mended else "AsDeclared",
        row.message if mended else "every service is as declared",
        calm=calm,
    )


def pause(failures: int) -> dt.timedelta:
    """Give how long to wait after so many tries."""
    return min(FIRST_PAUSE * (1 << min(failures, 10)), LONGEST_PAUSE)
