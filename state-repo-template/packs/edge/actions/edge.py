"""From ``config/edge.yaml`` to Caddy's configuration. Pure: tried by ``xynctl pack test``."""

import re

from xyn_kit import Failure

MARK = "/.well-known/xyn-edge"
"""Answered by the edge itself with 204: where its certificates are looked at."""

LIMITS = {
    "header_time": "10s",
    "body_time": "10m",
    "idle_time": "2m",
    "upstream_time": "60s",
    "max_body": "256MB",
}
LISTEN = {"http": "127.0.0.1:8088", "https": "127.0.0.1:8443"}
KEYS = {"listen", "limits", "trusted_proxies", "headers", "hosts"}
OF_A_HOST = {"host", "upstream", "tls", "max_body"}
TLS = ("off", "internal", "acme")
HOST = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*")
UPSTREAM = re.compile(r"([a-zA-Z0-9.-]+|\[[0-9a-fA-F:]+\]):([0-9]{1,5})")
LISTENS = re.compile(r"([a-zA-Z0-9.-]*|\[[0-9a-fA-F:]+\]):([0-9]{1,5})")
TIME = re.compile(r"[0-9]+(ms|s|m|h)")
UNITS = {"B": 1, "kB": 1000, "KB": 1000, "MB": 1000**2, "GB": 1000**3}


def wrong(text: str) -> Failure:
    return Failure("bad_config", f"config/edge.yaml: {text}")


def read(given: object) -> dict:
    """The desired state with its defaults; a Failure where it cannot be understood."""
    if not isinstance(given, dict):
        raise wrong("there is none, or it is no mapping")
    unknown = sorted(set(given) - KEYS)
    if unknown:
        raise wrong(f"unknown key {unknown[0]}: there are {', '.join(sorted(KEYS))}")
    limits = merged("limits", given.get("limits"), LIMITS)
    for name in sorted(set(LIMITS) - {"max_body"}):
        matches(f"limits.{name}", limits[name], TIME, "a time, such as 10s")
    listen = merged("listen", given.get("listen"), LISTEN)
    for name in LISTEN:
        matches(
            f"listen.{name}", listen[name], LISTENS, "an address and a port, 127.0.0.1:8088 or :80"
        )
    headers = given.get("headers") or {}
    if not isinstance(headers, dict) or not all(isinstance(each, str) for each in headers.values()):
        raise wrong("headers is a mapping of texts")
    hosts = given.get("hosts") or []
    if not isinstance(hosts, list):
        raise wrong("hosts is a list")
    found = [host(number, each, limits) for number, each in enumerate(hosts)]
    names = [each["host"] for each in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise wrong(f"{twice[0]} stands in hosts twice")
    trusted = given.get("trusted_proxies") or []
    return {
        "listen": listen,
        "limits": limits,
        "headers": headers,
        "trusted": trusted,
        "hosts": found,
    }


def merged(name: str, given: object, defaults: dict) -> dict:
    given = {} if given is None else given
    if not isinstance(given, dict) or set(given) - set(defaults):
        raise wrong(f"{name} has {', '.join(sorted(defaults))}")
    return {**defaults, **given}


def matches(name: str, value: object, pattern: re.Pattern, what: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise wrong(f"{name} is {what}, and not {value!r}")
    return value


def host(number: int, given: object, limits: dict) -> dict:
    if not isinstance(given, dict) or set(given) - OF_A_HOST:
        raise wrong(f"hosts[{number}] has {', '.join(sorted(OF_A_HOST))}")
    # YAML 1.1 reads a bare off as false.
    tls = "off" if given.get("tls", False) is False else given["tls"]
    if tls not in TLS:
        raise wrong(f"hosts[{number}].tls is one of {', '.join(TLS)}")
    return {
        "host": matches(f"hosts[{number}].host", given.get("host"), HOST, "a name, or *.name"),
        "upstream": matches(
            f"hosts[{number}].upstream", given.get("upstream"), UPSTREAM, "HOST:PORT"
        ),
        "tls": tls,
        "max_body": size(f"hosts[{number}].max_body", given.get("max_body", limits["max_body"])),
    }


def size(name: str, text: object) -> int:
    found = re.fullmatch(r"([0-9]+) ?(B|[kK]B|MB|GB)", str(text))
    if found is None:
        raise wrong(f"{name} is a size, such as 10MB, and not {text!r}")
    return int(found[1]) * UNITS[found[2]]


def caddy(wanted: dict, has: object) -> dict:
    """All of the configuration; what is not the edge's own stays as Caddy has it."""
    kept = {key: value for key, value in (has or {}).items() if key != "apps"}
    listen, hosts = wanted["listen"], wanted["hosts"]
    secured = [each for each in hosts if each["tls"] != "off"]
    plain = [
        redirect(each, listen["https"]) if each["tls"] != "off" else proxy(each, wanted)
        for each in hosts
    ]
    http = {
        "http_port": port(listen["http"]),
        "https_port": port(listen["https"]),
        "servers": {"http": server(listen["http"], plain, wanted, {"disable": True})},
    }
    apps = {"http": http}
    if secured:
        routes = [mark(), *(proxy(each, wanted) for each in secured)]
        https = server(listen["https"], routes, wanted, {"disable_redirects": True})
        http["servers"]["https"] = {**https, "tls_connection_policies": [{}]}
        internal = [each["host"] for each in secured if each["tls"] == "internal"]
        if internal:
            policy = {"subjects": internal, "issuers": [{"module": "internal"}]}
            apps["tls"] = {"automation": {"policies": [policy]}}
            # Caddy would ask for root's password to add it to the machine's trusted ones.
            apps["pki"] = {"certificate_authorities": {"local": {"install_trust": False}}}
    return {**kept, "apps": apps}


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


def server(address: str, routes: list, wanted: dict, automatic: dict) -> dict:
    limits = wanted["limits"]
    return {
        "listen": [address],
        "read_header_timeout": limits["header_time"],
        "read_timeout": limits["body_time"],
        "idle_timeout": limits["idle_time"],
        "automatic_https": automatic,
        "routes": routes,
    }


def mark() -> dict:
    return {
        "match": [{"path": [MARK]}],
        "handle": [{"handler": "static_response", "status_code": 204}],
        "terminal": True,
    }


def redirect(given: dict, https: str) -> dict:
    there = "" if port(https) == 443 else f":{port(https)}"
    answer = {
        "handler": "static_response",
        "status_code": 308,
        "headers": {"Location": ["https://{http.request.host}" + there + "{http.request.uri}"]},
    }
    return {"match": [{"host": [given["host"]]}], "handle": [answer], "terminal": True}


def proxy(given: dict, wanted: dict) -> dict:
    headers = dict(wanted["headers"])
    if given["tls"] == "acme":
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    careful = [
        {
            "handler": "headers",
            "response": {"set": {name: [value]}, "require": {"headers": {name: None}}},
        }
        for name, value in sorted(headers.items())
    ]
    onward = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": given["upstream"]}],
        "transport": {
            "protocol": "http",
            "dial_timeout": "5s",
            "response_header_timeout": wanted["limits"]["upstream_time"],
        },
    }
    if wanted["trusted"]:
        onward["trusted_proxies"] = wanted["trusted"]
    limit = {"handler": "request_body", "max_size": given["max_body"]}
    return {
        "match": [{"host": [given["host"]]}],
        "handle": [*careful, limit, onward],
        "terminal": True,
    }


def served(config: object) -> dict:
    """Host -> all that is said of it, in any configuration of Caddy."""
    found: dict = {}
    servers = (((config or {}).get("apps") or {}).get("http") or {}).get("servers") or {}
    for name, each in servers.items():
        for route in each.get("routes") or []:
            for match in route.get("match") or []:
                for one in match.get("host") or []:
                    found.setdefault(one, []).append([name, route])
    return found
