"""Canaries: values that have to stay secret, a node that knows them, and a search of all it keeps.

What is searched, for every canary in all its forms: each object of the repositories, each row of
the database, every other file of the home, and pages as they are crawled.
"""

import base64
import html
import http.server
import json
import os
import re
import secrets
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import psycopg
from psycopg import sql

from tests.running import PLAIN, Node
from xyn_reconciler.model.secret_forms import forms
from xyn_reconciler.node.home import Home
from xyn_reconciler.store.embedded_postgres import EmbeddedPostgres

COUNT: Final = 40
PLUMAGE: Final = "plumage-of-no-secret"
"""Goes the same ways, and has to be found: the search does see."""
PAGES: Final = 300


class Parrot(http.server.BaseHTTPRequestHandler):
    """Says back whatever it is told: in the body, in headers, and in base64."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._repeat(404)

    def do_POST(self) -> None:
        self._repeat(200)

    def _repeat(self, status: int) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        told = self.rfile.read(length).decode()
        said = {
            "body": told,
            "base64": base64.b64encode(f"x{told}".encode()).decode(),
            "path": self.path,
            "headers": dict(self.headers.items()),
            "hex": self.headers.get("Authorization", "").encode().hex(),
        }
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Said", urllib.parse.quote(told[:200]))
        self.end_headers()
        self.wfile.write(body)


def canary(number: int) -> str:
    """Distinct, random, and with what has to be escaped in some of them."""
    odd = ["", "'\"", "<&>", "/+ %", "\\$`"][number % 5]
    return f"canary{number:02d}{odd}{secrets.token_urlsafe(15)}"


class Cage:
    """A node with the canaries, and every way in."""

    def __init__(self, node: Node, values: list[str]) -> None:
        self.node = node
        self.values = values
        self.told = 0

    def next(self) -> str:
        """The canary whose turn it is; all take part."""
        self.told += 1
        return self.values[self.told % COUNT]

    def send(self, method: str, path: str, **more: Any) -> httpx2.Response:  # noqa: ANN401 - of a request
        return httpx2.request(method, f"{self.node.url}{path}", **PLAIN, timeout=30, **more)

    def post(self, path: str, body: object, **headers: str) -> httpx2.Response:
        return self.send("POST", f"/api/v1{path}", json=body, headers=headers)


def encoded(value: str, number: int) -> str:
    raw = value.encode()
    forms = [
        value,
        base64.b64encode(raw).decode(),
        base64.b64encode(b"ab" + raw + b"c").decode(),
        base64.urlsafe_b64encode(b"a" + raw).decode().rstrip("="),
        raw.hex(),
        raw.hex().upper(),
        urllib.parse.quote(value, safe=""),
        urllib.parse.quote_plus(value),
        json.dumps(value),
        json.dumps(json.dumps({"k": value})),
        html.escape(json.dumps(value)),
        json.dumps(value).replace("&", "\\u0026").replace("<", "\\u003c"),
        urllib.parse.quote(urllib.parse.quote(value, safe=""), safe=""),
        base64.encodebytes(b"." * 50 + raw + b"." * 50).decode(),
    ]
    return forms[number % len(forms)]


def plain_ascii(value: str) -> str:
    """As it may stand in a header's value or in a key: the encoded form."""
    return urllib.parse.quote(value, safe="")


def caged(make_node: Callable[..., Node], **environment: str) -> Cage:
    """Start a node with the canaries: half are variables, half are age files."""
    values = [canary(number) for number in range(COUNT)]
    half = COUNT // 2
    told = {f"CANARY_{n}_TOKEN": values[n] for n in range(half)}
    node = make_node(**told, **environment).start()
    for number in range(half, COUNT):
        node.xynctl("secret", "set", f"sys/local/canary/c{number}", stdin=values[number])
    return Cage(node, values)


# ── searching ────────────────────────────────────────────────────────────────────────────────────


def repository_text(home: Path) -> Iterator[tuple[str, bytes]]:
    """Every object, reachable or not, and every name of a ref."""
    for place in (home / "state.git", *(home / "repositories").glob("*.git")):
        batch = ["git", "-C", str(place), "cat-file", "--batch-all-objects", "--batch"]
        yield place.name, subprocess.run(batch, capture_output=True, check=True).stdout
        refs = ["git", "-C", str(place), "for-each-ref"]
        yield f"refs of {place.name}", subprocess.run(refs, capture_output=True, check=True).stdout


def database_text(home: Path) -> Iterator[tuple[str, bytes]]:
    """Every row of every table as text, and bytes as they are."""
    place = Home(home)
    with psycopg.connect(
        EmbeddedPostgres(place.postgres, place.run).url.replace("+psycopg", "")
    ) as db:
        tables = db.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in tables:
            question = sql.SQL("SELECT t.* FROM {} AS t").format(sql.Identifier(schema, table))
            for row in db.execute(question):
                for value in row:
                    if isinstance(value, bytes):
                        yield f"{table} (bytes)", value
                    elif value is not None:
                        text = json.dumps(value, ensure_ascii=False, default=str)
                        yield table, text.encode("utf-8", "replace")


def files_text(home: Path) -> Iterator[tuple[str, bytes]]:
    """Artifacts and logs; not the key, nor what Postgres and Git keep, which were asked."""
    for folder, inside, names in os.walk(home):
        inside[:] = [each for each in inside if each not in ("postgres", "state.git")]
        for name in names:
            path = Path(folder) / name
            if path.is_file() and path.name != "age.key":
                yield str(path.relative_to(home)), path.read_bytes()
    log = home.with_name(f"{home.name}.up.log")
    yield log.name, log.read_bytes()


def pages(node: Node) -> Iterator[tuple[str, bytes]]:
    """Every page that links lead to, and the lists of the API."""
    waiting, seen = ["/ui/events", "/ui/secrets", "/ui/health", "/ui/audit"], set[str]()
    waiting += [f"/api/v1/{noun}?limit=200" for noun in ("events", "runs", "gates", "artifacts")]
    waiting += ["/api/v1/audit?limit=200", "/api/v1/secrets", "/api/v1/drafts", "/api/v1/status"]
    with httpx2.Client(base_url=node.url, follow_redirects=True, timeout=30, **PLAIN) as client:
        while waiting and len(seen) < PAGES:
            address = waiting.pop(0)
            if address in seen:
                continue
            seen.add(address)
            answer = client.get(address)
            yield address, answer.content + repr(dict(answer.headers)).encode()
            if "html" in answer.headers.get("content-type", ""):
                links = re.findall(r'(?:href|src)="(/(?:ui|api)[^"#]*)', answer.text)
                waiting += [link.replace("&amp;", "&") for link in links]


def searched(cage: Cage, places: Iterator[tuple[str, bytes]]) -> tuple[set[str], bool]:
    """Give what should not be there, and whether what should be there is."""
    known = list(places)
    return found(cage, iter(known)), any(PLUMAGE.encode() in data for _, data in known)


def _escaped(value: str) -> set[str]:
    """As what keeps or shows a value writes it: JSON, also within JSON, URLs, pages."""
    as_json = json.dumps(value)[1:-1]
    return {
        as_json,
        json.dumps(as_json)[1:-1],
        urllib.parse.quote(value, safe=""),
        html.escape(value),
    }


def found(cage: Cage, places: Iterator[tuple[str, bytes]]) -> set[str]:
    known = {
        form.encode("utf-8", "surrogateescape"): number
        for number, value in enumerate(cage.values)
        for form in forms(value) | _escaped(value)
    }
    anything = re.compile(
        b"|".join(re.escape(form) for form in sorted(known, key=len, reverse=True))
    )
    hits = set()
    for place, data in places:
        for hit in anything.finditer(data):
            around = data[max(0, hit.start() - 60) : hit.start()].decode("utf-8", "replace")
            hits.add(f"{place}: canary {known[hit[0]]} after {around[-60:]!r}")
    return hits
