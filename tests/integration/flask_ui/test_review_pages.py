"""The pages of reviews over real stores, posted to as a browser without scripts does."""

import gzip
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape

import pytest
from flask.testing import FlaskClient

from tests.integration.flask_ui.conftest import BLUEPRINT, Web
from tests.running import wait_for
from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.review.checking import Checking
from xyn_reconciler.review.loop import Reviews
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.store import audit
from xyn_reconciler.store.git import MAIN

PATH = "blueprints/greet.yaml"
HOSTILE = "<script>alert(1)</script>"


@dataclass
class Drafts:
    """Hands to push drafts and to look at them, as git and the node's loop do."""

    web: Web

    def push(self, name: str, files: dict[str, bytes | None], *, by: str = "ada") -> str:
        repository, now = self.web.context.repository, utc_now()
        ref = f"refs/heads/draft/{name}"
        old = repository.resolve(ref)
        head = repository.write_files(
            old or str(repository.resolve(MAIN)),
            changes=files,
            message="A change\n",
            author="Ada <ada@example.net>",
            now=now,
        )
        pushed = {"old": old, "new": head, "how": "push"}
        entry = AuditEntry(kind="ref.accepted", actor=by, at=now, subject=ref, entry=pushed)
        with self.web.context.database.begin() as connection:
            audit.put(connection, [entry])
        repository.update_ref(ref, expected=old, new=head)
        self.look()
        return head

    def reviews(self) -> tuple[Reviews, Checking]:
        context = self.web.context
        checking = Checking(
            database=context.database,
            repository=context.repository,
            reconciler=context.reconciler,
            merging=context.merging,
            artifacts=context.artifacts,
            redactor=context.redactor,
            catalogue=context.catalogue,
            emit=context.intake.emit,
        )
        return Reviews(checking), checking

    def look(self, *, check: bool = True) -> None:
        reviews, checking = self.reviews()
        for job in reviews.look():
            if check:
                checking.run(job)


@pytest.fixture
def drafts(web: Web) -> Drafts:
    return Drafts(web)


@pytest.fixture
def loops(drafts: Drafts) -> Iterator[None]:
    """The node's own loops, for what waits for them."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=loop, args=(stop,))
        for loop in (drafts.web.context.reconciler.run, drafts.reviews()[0].run)
    ]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()


def changed(old: str, new: str) -> bytes:
    assert old in BLUEPRINT.decode()
    return BLUEPRINT.replace(old.encode(), new.encode())


@pytest.fixture
def shorter(drafts: Drafts) -> str:
    """A draft that takes the gate out; gives its head."""
    gate = "  - id: approve\n    kind: gate\n    mode: manual\n"
    return drafts.push("shorter", {PATH: changed(gate, "")})


def text_of(client: FlaskClient, path: str = "/ui/reviews/shorter", status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def action(page: str, ending: str) -> str:
    (found,) = set(re.findall(rf'action="([^"]*/{ending})"', page))
    return str(found)


def hidden(page: str, name: str) -> str:
    return str(re.findall(rf'name="{name}" value="([^"]*)"', page)[0])


def has(page: str, test_id: str) -> bool:
    return f'data-testid="{test_id}"' in page


def test_an_empty_list_names_the_push_that_opens_a_review(client: FlaskClient) -> None:
    page = text_of(client, "/ui/reviews")

    assert has(page, "empty")
    assert "git push origin HEAD:draft/&lt;name&gt;" in page
    assert not has(page, "open-reviews")


def test_the_list_says_of_each_open_draft_what_it_needs(client: FlaskClient, shorter: str) -> None:
    page = text_of(client, "/ui/reviews")

    assert "shorter" in page
    assert "high risk" in page
    assert shorter[:8] in page
    assert has(page, "missing")
    assert has(page, "open-reviews")


def test_a_review_says_what_it_changes_in_words_and_in_text(
    client: FlaskClient, shorter: str
) -> None:
    page = text_of(client)

    assert "gate approve removed" in page
    assert 'data-testid="effects-gates"' in page
    assert "<del>    kind: gate</del>" in page
    assert shorter[:8] in page


def test_polling_goes_on_while_checks_run_and_no_longer(drafts: Drafts, shorter: str) -> None:
    client = drafts.web.client()
    assert "hx-get" not in text_of(client).partition('id="review"')[2].partition(">")[0]

    client.post(action(text_of(client), "check"), data={"x": "1"})
    drafts.look(check=False)
    page = text_of(client)
    part = re.findall(r'hx-get="([^"]*/_review)" hx-trigger="every 1s"', page)

    assert len(part) == 1
    assert 'data-testid="check-validation" data-status="running"' in text_of(client, part[0])
    assert re.search(r'data-testid="promote" disabled', page)


def test_a_button_that_is_disabled_says_why(drafts: Drafts) -> None:
    drafts.push("mine", {PATH: changed("Says hello", "Says good day")}, by="operator")
    drafts.push("broken", {PATH: changed("kind: gate", "kind: gat")})

    mine, broken = (text_of(drafts.web.client(), f"/ui/reviews/{n}") for n in ("mine", "broken"))

    assert re.search(r'data-testid="approve" disabled aria-describedby="why-not-approve"', mine)
    assert "operator has pushed to draft/mine: somebody else has to approve it" in mine
    assert re.search(r'data-testid="promote" disabled aria-describedby="in-the-way"', broken)
    assert "check validation failed" in broken


def test_a_finding_stands_at_its_line(drafts: Drafts) -> None:
    drafts.push("broken", {PATH: changed("kind: gate", "kind: gat")})

    page = text_of(drafts.web.client(), "/ui/reviews/broken")

    line = page.index("kind: <mark>gat</mark></ins>")
    found = page.index('data-testid="finding"')
    assert 0 < found - line < 400


def test_a_decision_is_for_what_was_on_the_page(drafts: Drafts, shorter: str) -> None:
    client = drafts.web.client()
    page = text_of(client)
    drafts.push("shorter", {"prompts/new.md": b"words\n"})

    stale = client.post(
        action(page, "decide"),
        data={
            "decision": "approve",
            "effect_digest": hidden(page, "effect_digest"),
            "comment": "seen",
        },
    )
    fresh = text_of(client)
    good = client.post(
        action(fresh, "decide"),
        data={"decision": "approve", "effect_digest": hidden(fresh, "effect_digest")},
    )

    assert stale.status_code == 409
    assert "look at it again" in stale.get_data(as_text=True)
    assert ">seen</textarea>" in stale.get_data(as_text=True)
    assert (good.status_code, good.headers["Location"].partition("#")[2]) == (303, "merge")
    assert 'data-testid="vote" data-counts="true"' in text_of(client)


def test_a_decision_about_nothing_that_was_looked_at_is_refused(
    client: FlaskClient, shorter: str
) -> None:
    answer = client.post(action(text_of(client), "decide"), data={"decision": "approve"})

    assert answer.status_code == 422


def test_a_vote_whose_draft_changed_is_shown_as_dead(drafts: Drafts, shorter: str) -> None:
    client = drafts.web.client()
    page = text_of(client)
    client.post(
        action(page, "decide"),
        data={"decision": "reject", "effect_digest": hidden(page, "effect_digest")},
    )
    assert "operator rejected it" in text_of(client)

    drafts.push("shorter", {"prompts/new.md": b"words\n"})

    page = text_of(client)
    assert 'data-testid="vote" data-counts="false"' in page
    assert "what this would change has changed since" in page


def test_a_comment_is_written_at_a_line_without_a_script(client: FlaskClient, shorter: str) -> None:
    page = text_of(client)
    link = unescape(re.findall(r'<a href="([^"]+)" data-line="12"', page)[0])

    form = text_of(client, link).partition("<template")[0]
    answer = client.post(
        action(form, "comment"),
        data={"path": hidden(form, "path"), "line": hidden(form, "line"), "comment": "why now?"},
    )

    assert answer.status_code == 303
    assert has(form, "line-form")
    shown = text_of(client)
    assert has(shown, "line-comment")
    assert "why now?" in shown


@pytest.mark.usefixtures("loops")
def test_a_promotion_moves_main_and_can_be_taken_back(drafts: Drafts, shorter: str) -> None:
    client, repository = drafts.web.client(), drafts.web.context.repository
    before = repository.resolve(MAIN)
    wait_for(lambda: 'data-mergeable="true"' in text_of(client), lambda: text_of(client))
    page = text_of(client)

    promoted = client.post(action(page, "promote"), data={"head": hidden(page, "head")})
    main = str(repository.resolve(MAIN))
    confirm = text_of(client, f"/ui/rollback/{main}")
    back = client.post(action(confirm, main), data={"sure": "1"})

    assert promoted.status_code == 303
    assert main != before
    assert has(confirm, "confirm-rollback")
    assert back.status_code == 303
    assert repository.read_path(MAIN, PATH) == BLUEPRINT
    done = text_of(client, promoted.headers["Location"])
    assert has(done, "promoted-as")
    assert not has(done, "promote")


def test_what_was_pushed_since_is_not_promoted(drafts: Drafts, shorter: str) -> None:
    client = drafts.web.client()
    page = text_of(client)
    drafts.push("shorter", {"prompts/new.md": b"words\n"})

    answer = client.post(action(page, "promote"), data={"head": hidden(page, "head")})

    assert answer.status_code == 409
    assert "look again" in answer.get_data(as_text=True)


def test_a_review_is_given_up(client: FlaskClient, drafts: Drafts, shorter: str) -> None:
    answer = client.post(action(text_of(client), "close"), data={"x": "1"})

    assert answer.status_code == 303
    assert drafts.web.context.repository.resolve("refs/heads/draft/shorter") is None
    assert not has(text_of(client), "decide-form")


def test_both_sides_of_a_conflict_are_shown(drafts: Drafts) -> None:
    context = drafts.web.context
    head = drafts.push("polite", {PATH: changed("Says hello", "Says good day")})
    context.repository.commit_files(
        MAIN,
        expected=context.repository.commit(head).parents[0],
        changes={PATH: changed("Says hello", "Says moin")},
        message="Speak plainly\n",
        author="Grace <grace@example.net>",
        now=utc_now(),
    )
    context.reconciler.reconcile()
    drafts.look()

    page = text_of(drafts.web.client(), "/ui/reviews/polite")

    sides = re.findall(r'data-testid="conflict-(main|draft)">([^<]*)<', page)
    assert [side for side, text in sides if "Says moin" in text] == ["main"]
    assert [side for side, text in sides if "Says good day" in text] == ["draft"]
    assert "conflicts with main in" in page


def test_nothing_that_a_draft_brings_reaches_a_page_as_markup(drafts: Drafts) -> None:
    client = drafts.web.client()
    drafts.push(
        "hostile",
        {
            PATH: changed("Says hello", f"Says {HOSTILE}"),
            f"prompts/{HOSTILE.replace('/', '')}.md": HOSTILE.encode(),
        },
        by=HOSTILE,
    )
    page = text_of(client, "/ui/reviews/hostile")
    client.post(action(page, "comment"), data={"comment": f"{HOSTILE} said"})

    for path in ("/ui/reviews", "/ui/reviews/hostile"):
        shown = text_of(client, path)
        assert "<script>alert" not in shown
        assert "&lt;script&gt;alert" in shown
        assert not re.search(r"<script(?! src=)|style=|\son\w+=", shown)


def test_a_large_draft_keeps_its_page_small(drafts: Drafts) -> None:
    words = [f"{n:x} {hash_like(n)} {hash_like(n + 1)}" for n in range(700)]
    many = {f"prompts/{n}.md": "\n".join(words[n:]).encode() for n in range(5)}
    drafts.push("large", {**many, "prompts/picture.md": b"\x89PNG\0"})
    client = drafts.web.client()

    page = text_of(client, "/ui/reviews/large")
    (first, *_) = re.findall(r'href="([^"]*/file[^"]*)" data-testid="show-file"', page)

    assert len(gzip.compress(page.encode())) <= 60 * 1024
    assert has(page, "no-text")
    assert page.count("<ins>") < 1000
    assert text_of(client, unescape(first)).count("<ins>") > 690


def hash_like(number: int) -> str:
    return f"{number * 2654435761 % 2**32:08x}"


@pytest.mark.usefixtures("loops")
def test_a_blueprint_is_edited_in_the_browser_and_becomes_a_draft(drafts: Drafts) -> None:
    client = drafts.web.client()
    form = text_of(client, "/ui/blueprints/bp.demo.greet/edit")
    given = {
        "name": hidden(form, "name"),
        "path": hidden(form, "path"),
        "text": BLUEPRINT.decode().replace("Says hello", "Says moin").replace("\n", "\r\n"),
        "notes": "plain words",
    }

    saved = client.post("/ui/drafts", data=given)
    again = client.post("/ui/drafts", data={**given, "text": "id: bp.other\n"})

    assert (given["name"], given["path"]) == ("change-greet", PATH)
    assert "Says hello" in form
    assert saved.status_code == 303, saved.get_data(as_text=True)
    shown = text_of(client, saved.headers["Location"])
    assert "plain words" in shown
    assert "Says <mark>moin</mark>" in shown
    assert "␍" not in shown
    assert again.status_code == 409
    assert "take another name" in again.get_data(as_text=True)


def test_a_name_that_cannot_be_a_branch_comes_back_with_what_was_typed(
    client: FlaskClient,
) -> None:
    answer = client.post(
        "/ui/drafts", data={"name": "no spaces", "path": "blueprints/a.yaml", "text": "id: bp.a"}
    )

    assert answer.status_code == 422
    assert 'value="no spaces"' in answer.get_data(as_text=True)


def test_an_unknown_draft_is_no_page(client: FlaskClient) -> None:
    assert has(text_of(client, "/ui/reviews/nobody", 404), "error")


SHOP = b"""\
id: shop
version: 0.1.0
settings: {type: object, properties: {port: {type: integer, maximum: 90}}}
actions:
  shop.look:
    summary: Look whether it is there.
    input_schema: {type: object}
    output_schema: {type: object}
    request: {url: "http://127.0.0.1:{{ settings.port }}/"}
smoke: {action: shop.look}
"""


def test_settings_are_tried_as_they_were_shown_or_not_at_all(drafts: Drafts) -> None:
    context, client = drafts.web.context, drafts.web.client()
    file = "packs/shop/settings.yaml"
    context.repository.commit_files(
        MAIN,
        expected=context.repository.resolve(MAIN),
        changes={"packs/shop/pack.yaml": SHOP, file: b"port: 80\n"},
        message="A shop\n",
        author="Ada <ada@example.net>",
        now=utc_now(),
    )
    assert context.reconciler.reconcile() is not None

    def tried(base: str) -> str:
        answer = client.post("/ui/packs/shop/smoke", data={"base": base})
        return f"{answer.status_code} {form_error(answer.text)}"

    shown = drafts.push("settings-shop", {file: b"port: 81\n"})
    newer = drafts.push("settings-shop", {file: b"port: 91\n"})

    assert tried(shown) == "409 draft/settings-shop has changed meanwhile: look at it again"
    assert tried(newer).startswith("422 draft/settings-shop: port: ")
    assert client.get("/api/v1/runs").get_json()["items"] == []


def form_error(page: str) -> str:
    found = re.search(r'data-testid="form-error">(.*?)</p>', page)
    assert found is not None
    return unescape(found[1])
