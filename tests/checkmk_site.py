"""A Checkmk site as its REST API is documented (2.4), for tests: a simulator, and no Checkmk.

It knows hosts and services with states, takes acknowledgements and downtimes, and is as strict as
the original: a field that it does not know is 400, so is a host that it does not monitor, no
``application/json`` is 415, and errors are ``application/problem+json``.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.http_site import Asked, Said, serving

ROOT: Final = "/site/check_mk/api/1.0"
Body = dict[str, Any]

_ACKNOWLEDGED: Final = {"comment": str, "sticky": bool, "persistent": bool, "notify": bool}
_OPTIONAL: Final = {"sticky", "persistent", "notify", "recur", "duration"}
_DOWNTIME: Final = {
    "host_name": str,
    "start_time": dt.datetime,
    "end_time": dt.datetime,
    "comment": str,
    "recur": str,
    "duration": int,
}
_COLUMNS: Final = {
    "name",
    "alias",
    "address",
    "state",
    "acknowledged",
    "scheduled_downtime_depth",
    "plugin_output",
}


class Problem(Exception):  # noqa: N818 - what Checkmk calls it
    """An answer that says what is wrong."""

    def __init__(self, status: int, title: str, detail: str = "", **more: object) -> None:
        super().__init__(title)
        self.status = status
        self.told = {"title": title, "status": status, "detail": detail, **more}


@dataclass
class Site:
    """What the site monitors, and what was done to it."""

    user: str = "automation"
    secret: str = "automation-secret-of-the-site"
    hosts: dict[str, int] = field(default_factory=lambda: {"web-1": 0, "db-1": 1})
    """Name -> state: 0 UP, 1 DOWN, 2 UNREACH."""
    services: dict[tuple[str, str], int] = field(
        default_factory=lambda: {("web-1", "CPU load"): 2, ("web-1", "Memory"): 0}
    )
    may: bool = True
    """Whether the user has the permissions."""
    fails: list[int] = field(default_factory=list)
    """Statuses that the next requests are answered with, as by the site's web server."""
    acknowledged: list[Body] = field(default_factory=list)
    downtimes: list[Body] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Body) -> Body | None:
        """Give the answer's body; None for 204."""
        match method, path:
            case "GET", "/version":
                return {"site": "site", "versions": {"checkmk": "2.4.0p1"}}
            case "POST", "/domain-types/acknowledge/collections/host":
                self._acknowledge_host(self._fields(body, "acknowledge_type", "host"))
            case "POST", "/domain-types/acknowledge/collections/service":
                self._acknowledge_service(self._fields(body, "acknowledge_type", "service"))
            case "POST", "/domain-types/downtime/collections/host":
                self._add(self._fields(body, "downtime_type", "host"), None)
            case "POST", "/domain-types/downtime/collections/service":
                given = self._fields(body, "downtime_type", "service")
                for service in given["service_descriptions"]:
                    self._add(given, service)
            case "GET", "/domain-types/downtime/collections/all":
                return _collection("downtime", self._downtimes(query))
            case "POST", "/domain-types/downtime/actions/delete/invoke":
                self._end(body)
            case "POST", "/domain-types/host/collections/all":
                return _collection("host", self._hosts(body))
            case _:
                raise Problem(404, "Not Found", "The requested URL was not found on the server.")
        return None

    # ── what is asked for ────────────────────────────────────────────────────────────────────────

    def _fields(self, given: Body, choice: str, kind: str) -> Body:
        types: dict[str, type]
        if choice == "acknowledge_type":
            types = {"host_name": str, **_ACKNOWLEDGED}
            types |= {"service_description": str} if kind == "service" else {}
            optional = _OPTIONAL
        else:
            types = {**_DOWNTIME, **({"service_descriptions": list} if kind == "service" else {})}
            optional = _OPTIONAL | {"comment"}
        if given.get(choice) != kind:
            _refuse({choice: [f"Unsupported value: {given.get(choice)}"]})
        wrong: dict[str, list[str]] = {}
        for name in given.keys() - types.keys() - {choice}:
            wrong[name] = ["Unknown field."]
        for name, wanted in types.items():
            if name not in given:
                if name not in optional:
                    wrong[name] = ["Missing data for required field."]
            elif not _fits(given[name], wanted):
                wrong[name] = [f"Not a valid {wanted.__name__}."]
        host = given.get("host_name")
        if not wrong and host not in self.hosts:
            wrong["host_name"] = [f"Host not found: {host!r}"]
        if wrong:
            _refuse(wrong)
        return given

    def _acknowledge_host(self, given: Body) -> None:
        name = given["host_name"]
        if not self.hosts[name]:
            detail = "You can't acknowledge a problem that doesn't exist."
            raise Problem(422, f"Host {name!r} has no problem.", detail)
        self.acknowledged.append(given)

    def _acknowledge_service(self, given: Body) -> None:
        name, service = given["host_name"], given["service_description"]
        what = f"Service {service!r}@{name!r}"
        if (name, service) not in self.services:
            raise Problem(400, "Service not found", f"{what} could not be found.")
        if not self.services[name, service]:
            raise Problem(422, "This service has no problem", f"{what} has no problem.")
        self.acknowledged.append(given)

    def _add(self, given: Body, service: str | None) -> None:
        facts = {
            "site_id": "site",
            "host_name": given["host_name"],
            "author": self.user,
            "is_service": "no" if service is None else "yes",
            "start_time": given["start_time"],
            "end_time": given["end_time"],
            "recurring": "no",
            "comment": given.get("comment", "Downtime"),
        }
        self.downtimes.append(facts | ({} if service is None else {"service_description": service}))

    def _downtimes(self, query: Mapping[str, str]) -> Iterator[tuple[str, Body]]:
        known = {"host_name", "service_description", "query", "downtime_type", "site_id"}
        if query.keys() - known:
            _refuse({name: ["Unknown field."] for name in query.keys() - known})
        kind = query.get("downtime_type", "both")
        for number, each in enumerate(self.downtimes):
            of = "service" if each["is_service"] == "yes" else "host"
            if query.get("host_name", each["host_name"]) == each["host_name"] and kind in (
                "both",
                of,
            ):
                yield str(number), each

    def _end(self, given: Body) -> None:
        if given.get("delete_type") != "params":
            _refuse({"delete_type": ["Unsupported value."]})
        if given.keys() - {"delete_type", "host_name", "service_descriptions"}:
            _refuse({"_schema": ["Unknown field."]})
        services = given.get("service_descriptions", [None])
        self.downtimes = [
            each
            for each in self.downtimes
            if each["host_name"] != given["host_name"]
            or each.get("service_description") not in services
        ]

    def _hosts(self, given: Body) -> Iterator[tuple[str, Body]]:
        if given.keys() - {"query", "columns", "sites"}:
            _refuse({"_schema": ["Unknown field."]})
        columns = {"name", *given.get("columns", [])}
        if columns - _COLUMNS:
            _refuse({"columns": [f"Unknown column: {each}" for each in sorted(columns - _COLUMNS)]})
        for name, state in self.hosts.items():
            facts: Body = {
                "name": name,
                "alias": name,
                "address": "192.0.2.1",
                "state": state,
                "acknowledged": int(any(each["host_name"] == name for each in self.acknowledged)),
                "scheduled_downtime_depth": sum(e["host_name"] == name for e in self.downtimes),
                "plugin_output": "",
            }
            if _holds(given.get("query"), facts):
                yield name, {column: facts[column] for column in columns}


def _fits(value: object, wanted: type) -> bool:
    if wanted is dt.datetime:
        try:
            return dt.datetime.fromisoformat(str(value)).tzinfo is not None
        except ValueError:
            return False
    return isinstance(value, wanted)


def _refuse(wrong: Mapping[str, list[str]]) -> None:
    names = ", ".join(sorted(wrong))
    raise Problem(400, "Bad Request", f"These fields have problems: {names}", fields=dict(wrong))


def _holds(query: Body | None, facts: Body) -> bool:
    """A query of Checkmk's "Querying Status Data"; values in it are texts."""
    if query is None:
        return True
    match query:
        case {"op": "and" | "or" as op, "expr": [*parts]}:
            found = [_holds(each, facts) for each in parts]
            return all(found) if op == "and" else any(found)
        case {"op": "not", "expr": dict(part)}:
            return not _holds(part, facts)
        case {"op": "=" | "!=" | "~" as op, "left": str(left), "right": str(right)}:
            if left in facts:
                value = str(facts[left])
                if op == "~":
                    return re.search(right, value) is not None
                return (value == right) is (op == "=")
    _refuse({"query": [f"Not a valid query: {query}"]})
    raise AssertionError


def _collection(kind: str, found: Iterator[tuple[str, Body]]) -> Body:
    value = [
        {
            "domainType": kind,
            "id": name,
            "title": name,
            "links": [],
            "members": {},
            "extensions": facts,
        }
        for name, facts in found
    ]
    return {"id": kind, "domainType": kind, "links": [], "value": value}


@contextmanager
def checkmk_site() -> Iterator[Site]:
    """Serve a site; its ``url`` is that of the REST API."""
    site = Site()

    def answer(asked: Asked) -> Said:
        if site.fails:
            return Said(site.fails.pop(0), headers={"Retry-After": "1"})
        try:
            found = _answer(site, asked)
        except Problem as problem:
            return Said(problem.status, problem.told, content_type="application/problem+json")
        return Said(204) if found is None else Said(200, found)

    with serving(answer) as server:
        site.url = f"{server}{ROOT}"
        yield site


def _answer(site: Site, asked: Asked) -> Body | None:
    if asked.headers.get("authorization") != f"Bearer {site.user} {site.secret}":
        raise Problem(401, "Unauthorized", "Wrong credentials (Bearer header)")
    if not asked.path.startswith(ROOT):
        raise Problem(404, "Not Found")
    if asked.method == "POST" and not site.may:
        raise Problem(403, "Permission denied", "Missing permission: action.acknowledge")
    accepts = asked.headers.get("accept", "")
    if "*/*" not in accepts and "application/json" not in accepts:
        raise Problem(406, "Not Acceptable")
    body: Body = {}
    if asked.method == "POST":
        if asked.headers.get("content-type") != "application/json":
            raise Problem(415, "Unsupported Media Type")
        body = json.loads(asked.content)
    return site.answer(asked.method, asked.path.removeprefix(ROOT), asked.query, body)
