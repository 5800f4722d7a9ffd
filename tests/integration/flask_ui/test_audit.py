"""The audit's page, its API, and the checkpoint that stands below every page."""

import html

from flask.testing import FlaskClient

from tests.integration.flask_ui.conftest import Web
from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.record import checkpoint
from xyn_reconciler.store import audit


def note(web: Web, kind: str, subject: str, /, **entry: object) -> AuditEntry:
    made = AuditEntry(kind=kind, actor="ada", at=web.context.clock(), subject=subject, entry=entry)
    with web.context.database.begin() as connection:
        audit.put(connection, [made])
    return made


def page(client: FlaskClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return html.unescape(answer.get_data(as_text=True))


def test_the_newest_entry_comes_first_in_words(web: Web, client: FlaskClient) -> None:
    note(web, "review.opened", "d-1", name="night", head="a" * 40)
    note(web, "review.promoted", "d-1", name="night", commit="b" * 40)

    text = page(client, "/ui/audit")

    newest = text.index("ada promoted draft night as bbbbbbbbbbbb")
    assert newest < text.index("ada opened the review of draft night")


def test_entries_are_chosen_by_kind_and_by_what_they_are_about(
    web: Web, client: FlaskClient
) -> None:
    note(web, "review.opened", "d-1", name="night")
    note(web, "review.opened", "d-2", name="day")
    note(web, "token.created", "bob", token_id="t1")

    reviews = page(client, "/ui/audit?kind=review")
    night = page(client, "/ui/audit?kind=review&subject=d-1")

    assert ("draft night" in reviews, "draft day" in reviews) == (True, True)
    assert "made token" not in reviews
    assert ("draft night" in night, "draft day" in night) == (True, False)
    assert "Only about" in night


def test_a_filter_that_finds_nothing_leads_back(client: FlaskClient) -> None:
    text = page(client, "/ui/audit?subject=nobody")

    assert "Nothing of that is in the audit." in text
    assert 'href="/ui/audit"' in text


def test_an_empty_audit_says_what_it_will_hold(empty: Web) -> None:
    text = page(empty.client(), "/ui/audit")

    assert "Nothing was decided here yet." in text
    assert "xynctl verify" in text


def test_what_an_entry_holds_is_shown_as_text(web: Web, client: FlaskClient) -> None:
    note(web, "review.commented", "d-1", text="<script>alert(1)</script>")

    assert "<script>alert" not in client.get("/ui/audit").get_data(as_text=True)


def test_the_api_lists_entries_page_by_page(web: Web, client: FlaskClient) -> None:
    made = [note(web, "token.created", "bob", token_id=str(number)) for number in range(3)]

    first = client.get("/api/v1/audit?kind=token&limit=2").get_json()
    rest = client.get(f"/api/v1/audit?kind=token&cursor={first['next_cursor']}").get_json()

    assert [each["audit_id"] for each in [*first["items"], *rest["items"]]] == [
        str(entry.audit_id) for entry in reversed(made)
    ]
    assert first["items"][0]["sentence"] == "ada made token 2 for bob"
    assert rest["next_cursor"] is None


def test_the_newest_checkpoint_stands_below_every_page(web: Web, client: FlaskClient) -> None:
    assert 'data-testid="checkpoint"' not in page(client, "/ui/runs")

    taken = checkpoint.take(
        web.context.database, web.context.repository, "seed", now=web.context.clock()
    )

    assert taken is not None
    for path in ("/ui/runs", "/ui/audit", "/ui/health"):
        assert taken.line() in page(client, path)
