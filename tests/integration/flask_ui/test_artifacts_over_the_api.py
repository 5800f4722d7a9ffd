"""Bytes over the API: two ways in, parts of them out, and never a wrong one."""

import base64
import datetime as dt
import hashlib
import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO

import pytest
from flask.testing import FlaskClient

from flask_ui.app import create_app
from tests.integration.flask_ui.conftest import NODE, Web
from xyn_reconciler.model.errors import NotFoundError, UnavailableError
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.store.git import MAIN

CONTENT = random.Random(1).randbytes(10_240)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ARTIFACTS = "/api/v1/artifacts"


def put(client: FlaskClient, content: bytes = CONTENT, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    body = {"name": "a.bin", "content_base64": base64.b64encode(content).decode(), **more}
    answer = client.post(ARTIFACTS, json=body)
    assert answer.status_code == 201, answer.data
    found: dict[str, Any] = answer.get_json()
    return found


@pytest.fixture
def url(client: FlaskClient) -> str:
    return f"{ARTIFACTS}/{put(client)['artifact_id']}/download"


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("bytes=0-9", CONTENT[:10]),
        ("bytes=10200-", CONTENT[10200:]),
        ("bytes=-7", CONTENT[-7:]),
        ("bytes=-99999", CONTENT),
        ("bytes=10239-99999", CONTENT[-1:]),
        (f"bytes=10239-{9 * 10**40}", CONTENT[-1:]),
    ],
)
def test_a_part_is_given_with_where_it_stands(
    client: FlaskClient, url: str, asked: str, given: bytes
) -> None:
    answer = client.get(url, headers={"Range": asked}, buffered=True)

    assert (answer.status_code, answer.data) == (206, given)
    start = CONTENT.rfind(given)
    assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(given) - 1}/10240"
    assert answer.headers["ETag"] == f'"{SHA256}"'


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "bytes=x", "bytes=5-2", "lines=0-1", "bytes=-", "bytes 0-1"]
)
def test_many_parts_or_what_is_no_range_gets_the_whole(
    client: FlaskClient, url: str, asked: str
) -> None:
    answer = client.get(url, headers={"Range": asked}, buffered=True)

    assert (answer.status_code, answer.data) == (200, CONTENT)
    assert answer.headers["Accept-Ranges"] == "bytes"


def test_a_part_beyond_the_end_says_how_long_it_is(client: FlaskClient, url: str) -> None:
    answer = client.get(url, headers={"Range": "bytes=10240-"}, buffered=True)

    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */10240"


@pytest.mark.parametrize(
    ("tag", "status"), [(f'"{SHA256}"', 206), (f'"{"0" * 64}"', 200), (f'W/"{SHA256}"', 200)]
)
def test_a_download_is_resumed_only_of_the_same_bytes(
    client: FlaskClient, url: str, tag: str, status: int
) -> None:
    headers = {"Range": "bytes=1-", "If-Range": tag}

    assert client.get(url, headers=headers, buffered=True).status_code == status


def test_head_says_all_but_the_bytes(client: FlaskClient, url: str) -> None:
    answer = client.head(url, headers={"Range": "bytes=0-1"}, buffered=True)

    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Content-Length"] == "10240"
    assert answer.headers["ETag"] == f'"{SHA256}"'
    assert answer.headers["Accept-Ranges"] == "bytes"


def test_who_has_the_bytes_already_is_told_so(client: FlaskClient, url: str) -> None:
    answer = client.get(url, headers={"If-None-Match": f'"{SHA256}"'}, buffered=True)

    assert (answer.status_code, answer.data) == (304, b"")


@pytest.mark.parametrize(
    ("name", "status"), [("If-None-Match", 304), ("If-Match", 206), ("If-Match", 416)]
)
def test_a_condition_comes_before_the_part(
    client: FlaskClient, url: str, name: str, status: int
) -> None:
    """RFC 9110, section 13.2.2."""
    wanted = "bytes=0-1" if status == 206 else "bytes=10240-"
    headers = {"Range": wanted, name: f'"{SHA256}"'}

    assert client.get(url, headers=headers, buffered=True).status_code == status


def test_who_wants_other_bytes_gets_none(client: FlaskClient, url: str) -> None:
    answer = client.get(url, headers={"If-Match": f'"{"0" * 64}"'}, buffered=True)

    assert answer.status_code == 412
    assert CONTENT not in answer.data


EVIL = [
    ("<script>alert(1)</script>.html", "text/html"),
    ('"><img src=x onerror=alert(1)>.svg', "image/svg+xml"),
    ("a\r\nSet-Cookie: x=1.txt", "text/plain"),
    ("../../etc/passwd", "text/html; charset=utf-7"),
    ("\u202egpj.exe", "application/x-msdownload"),
    ("a;filename=b.html", 'text/html"; x="'),
    ("javascript:alert(1)", "text/html\r\nX-Evil: 1"),
    ("%0d%0aX-Evil:1", "multipart/x-mixed-replace; boundary=x"),
    ("\U0001f4a3" * 100, "application/xhtml+xml"),
]


@pytest.mark.parametrize(("name", "content_type"), EVIL)
def test_no_name_and_no_type_makes_a_page_of_bytes(
    client: FlaskClient, name: str, content_type: str
) -> None:
    made = put(client, b"<script>alert(1)</script>", name=name, content_type=content_type)

    answer = client.get(f"{ARTIFACTS}/{made['artifact_id']}/download", buffered=True)

    assert answer.headers["Content-Disposition"].startswith('attachment; filename="')
    plain = answer.headers["Content-Disposition"].split('"')[1]
    assert plain.strip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == ""
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert not {"X-Evil", "Set-Cookie"} & set(answer.headers.keys())
    assert "utf-7" not in answer.headers["Content-Type"].lower()
    page = client.get(f"/ui/artifacts/{made['artifact_id']}").text
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def announced(client: FlaskClient, **more: object) -> str:
    made = client.post(ARTIFACTS, json={"name": "two steps", **more}).get_json()
    return f"{ARTIFACTS}/{made['artifact_id']}"


@pytest.mark.parametrize(
    ("promised", "headers", "words"),
    [
        ({"byte_length": 4}, {}, "byte_length is 4, but 3 bytes came"),
        ({"byte_length": 2}, {}, "byte_length is 2, but 3 bytes came"),
        ({}, {"Content-Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"}, "sha256"),
        ({}, {"Content-Digest": "sha-256=abc"}, "RFC 9530"),
    ],
)
def test_other_bytes_than_promised_are_refused_and_the_right_ones_still_taken(
    web: Web, promised: dict[str, int], headers: dict[str, str], words: str
) -> None:
    client = web.client()
    url = announced(client, **promised)

    refused = client.put(
        f"{url}/upload", data=b"abc", headers={"Content-Type": "application/octet-stream"} | headers
    )

    assert refused.status_code == 422
    assert words in refused.get_json()["error"]["message"]
    assert not web.context.artifacts.exists(hashlib.sha256(b"abc").hexdigest())
    right = b"a" * promised.get("byte_length", 3)
    digest = base64.b64encode(hashlib.sha256(right).digest()).decode()
    answer = client.put(
        f"{url}/upload",
        data=right,
        headers={
            "Content-Type": "application/octet-stream",
            "Content-Digest": f"sha-512=:x:, sha-256=:{digest}:",
        },
    )
    assert answer.get_json()["sha256"] == hashlib.sha256(right).hexdigest()
    again = client.put(
        f"{url}/upload", data=right, headers={"Content-Type": "application/octet-stream"}
    )
    assert again.status_code == 409


def test_a_form_brings_its_own_words(client: FlaskClient) -> None:
    made = client.post(
        ARTIFACTS,
        data={
            "file": (io.BytesIO(b"one"), "given.txt", "text/plain"),
            "artifact": '{"kind": "report", "metadata": {"retention": "short"}, "byte_length": 4}',
        },
    )
    assert made.status_code == 422, "four bytes were promised"
    assert client.get(ARTIFACTS).get_json()["items"] == []

    made = client.post(
        ARTIFACTS,
        data={"file": (io.BytesIO(b"one"), "given.txt", "text/plain"), "artifact": "{}"},
    )
    assert made.get_json()["name"] == "given.txt"
    assert made.get_json()["content_type"] == "text/plain"


def test_a_direct_upload_is_told_and_recorded_once(web: Web) -> None:
    made = put(web.client())

    with web.context.database.connect() as connection:
        told = connection.exec_driver_sql(
            "SELECT event_name FROM events WHERE event_name LIKE 'xyn.artifact%%'"
        ).scalars()
        recorded = connection.exec_driver_sql(
            "SELECT count(*) FROM outbox WHERE kind = 'artifact' AND subject = %s",
            (made["artifact_id"],),
        ).scalar_one()
        assert list(told) == ["xyn.artifact.created"]
    assert recorded == 1


def test_one_artifact_may_be_larger_where_the_node_says_so(web: Web) -> None:
    repository = web.context.repository
    repository.commit_files(
        MAIN,
        expected=repository.resolve(MAIN),
        changes={"node.yaml": NODE + b"limits: {artifact_max: 300MB}\n"},
        message="Allow large ones\n",
        author="Ada <ada@example.net>",
        now=utc_now(),
    )
    web.context.reconciler.reconcile()
    client = web.client()
    url = announced(client)

    def upload(length: int) -> int:
        """Say that so many bytes come, and send three."""
        return client.put(
            f"{url}/upload",
            data=b"abc",
            content_type="application/octet-stream",
            environ_overrides={"CONTENT_LENGTH": str(length)},
        ).status_code

    assert upload(302_000_000) == 413
    assert upload(300_000_000) == 400, "it broke off"
    assert upload(3) == 200


def test_not_one_wrong_byte_is_given(web: Web) -> None:
    client = web.client()
    made = put(client)
    web.context.artifacts.path(SHA256).write_bytes(CONTENT[:-1] + b"x")

    for headers in ({}, {"Range": "bytes=0-9"}):
        answer = client.get(
            f"{ARTIFACTS}/{made['artifact_id']}/download", headers=headers, buffered=True
        )
        assert answer.status_code == 500
        assert answer.get_json()["error"]["code"] == "artifact_damaged"
    checked = client.get(f"{ARTIFACTS}/{made['artifact_id']}/verify").get_json()
    assert checked["state"] == "damaged"


def test_what_was_verified_a_moment_ago_and_is_written_since_is_verified_again(
    web: Web, url: str
) -> None:
    client = web.client()
    assert client.get(url, buffered=True).status_code == 200
    web.context.artifacts.path(SHA256).write_bytes(CONTENT[:-1] + b"x")

    assert client.get(url, buffered=True).status_code == 500


def test_each_artifact_is_verified_in_its_own_words(web: Web) -> None:
    client = web.client()
    whole = put(client)["artifact_id"]
    missing = put(client, b"missing")
    web.context.artifacts.remove(missing["sha256"])
    states = {
        name: client.get(f"{ARTIFACTS}/{artifact_id}/verify").get_json()["state"]
        for name, artifact_id in {
            "whole": whole,
            "missing": missing["artifact_id"],
            "announced": announced(client).rpartition("/")[2],
        }.items()
    }

    assert {name: name for name in states} == states


def test_bytes_are_found_by_what_they_are(client: FlaskClient, url: str) -> None:
    answer = client.get(f"{ARTIFACTS}/by-sha256/{SHA256}", buffered=True)

    assert answer.data == client.get(url, buffered=True).data == CONTENT
    assert client.get(f"{ARTIFACTS}/by-sha256/{'0' * 64}").status_code == 404
    assert client.get(f"{ARTIFACTS}/by-sha256/..").status_code == 404


def test_what_retention_took_is_gone_and_known(web: Web) -> None:
    client = web.client()
    made = put(client, kind="prompt")
    with web.context.database.begin() as connection:
        connection.exec_driver_sql("UPDATE artifacts SET deleted_at = '2026-03-01T10:00:00Z'")

    for path in (f"{made['artifact_id']}/download", f"by-sha256/{SHA256}"):
        answer = client.get(f"{ARTIFACTS}/{path}")
        assert answer.status_code == 410
        error = answer.get_json()["error"]
        assert error["code"] == "gone"
        assert "went on 2026-03-01, as retention in node.yaml says of 'prompt'" in error["message"]
    known = client.get(f"{ARTIFACTS}/{made['artifact_id']}").get_json()
    assert known["sha256"] == SHA256
    assert dt.datetime.fromisoformat(known["deleted_at"]).year == 2026
    page = client.get(f"/ui/artifacts/{made['artifact_id']}").text
    assert 'data-testid="artifact-gone"' in page
    assert 'data-testid="download"' not in page
    assert ">gone<" in client.get("/ui/artifacts").text
    checked = client.get(f"{ARTIFACTS}/{made['artifact_id']}/verify").get_json()
    assert checked["state"] == "gone"


def clone_of(web: Web, origin: bytes | Exception) -> FlaskClient:
    @contextmanager
    def opened(_sha256: str) -> Iterator[BinaryIO]:
        if isinstance(origin, Exception):
            raise origin
        yield io.BytesIO(origin)

    return create_app(replace(web.context, origin_bytes=opened)).test_client()


def test_bytes_that_the_origin_has_are_brought_kept_and_counted(web: Web) -> None:
    made = put(web.client())
    web.context.artifacts.remove(SHA256)
    url = f"{ARTIFACTS}/{made['artifact_id']}"
    clone = clone_of(web, CONTENT)
    assert clone.get(f"{url}/verify").get_json()["state"] == "elsewhere"
    # Nobody is asked for somebody else: two that lack them would ask each other for ever.
    assert clone.get(f"{ARTIFACTS}/by-sha256/{SHA256}").status_code == 404

    assert clone.get(f"{url}/download", buffered=True).data == CONTENT

    assert clone.get(f"{url}/verify").get_json()["state"] == "whole"
    away = clone_of(web, UnavailableError("away"))
    assert away.get(f"{url}/download", buffered=True).data == CONTENT


@pytest.mark.parametrize(
    ("origin", "status", "words"),
    [
        (UnavailableError("the origin does not answer"), 503, "does not answer"),
        (NotFoundError("neither here nor at the origin"), 404, "neither here"),
        (CONTENT[:-1] + b"x", 503, "other bytes"),
        (CONTENT + b"x", 503, "other bytes"),
    ],
)
def test_an_origin_that_cannot_help_is_named(
    web: Web, origin: bytes | Exception, status: int, words: str
) -> None:
    made = put(web.client())
    web.context.artifacts.remove(SHA256)

    answer = clone_of(web, origin).get(f"{ARTIFACTS}/{made['artifact_id']}/download")

    assert answer.status_code == status
    assert words in answer.get_json()["error"]["message"]
    assert not web.context.artifacts.exists(SHA256)


def test_more_bytes_than_one_may_have_are_not_even_announced(client: FlaskClient) -> None:
    for length in (250_000_001, 10**30):
        answer = client.post(ARTIFACTS, json={"name": "a.bin", "byte_length": length})

        assert answer.status_code == 413
        assert answer.get_json()["error"]["code"] == "too_large"


def test_who_puts_the_bytes_again_mends_what_was_damaged(web: Web) -> None:
    client = web.client()
    put(client)
    web.context.artifacts.path(SHA256).write_bytes(CONTENT[:-1] + b"x")

    again = put(client)

    answer = client.get(f"{ARTIFACTS}/{again['artifact_id']}/download", buffered=True)
    assert answer.data == CONTENT
