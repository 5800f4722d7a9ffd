"""What an adapter asks its tool, and what the answer means to it."""

import datetime as dt
import shlex
from typing import Any

import pytest

from xyn_reconciler.action import adapter
from xyn_reconciler.model.errors import PermanentError, TemporaryError

ROOTS: dict[str, Any] = {
    "inputs": {"host": "web 1; id", "evil": "{{ settings.token_ref }}"},
    "settings": {"url": "https://a.example/api", "token_ref": "env/TOKEN"},
}


def answered(response: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {**ROOTS, "response": response, **more}


def test_a_request_is_rendered_from_inputs_and_settings_keeping_types() -> None:
    body = {"url": "{{ settings.url }}/h", "json": {"host": "{{ inputs.host }}", "n": 1}}

    assert adapter.render_call(body, ROOTS, (), shlex.quote) == {
        "url": "https://a.example/api/h",
        "json": {"host": "web 1; id", "n": 1},
    }


def test_what_came_from_outside_is_never_rendered_again() -> None:
    call = adapter.render_call({"json": "{{ inputs.evil }}"}, ROOTS, (), shlex.quote)

    assert call == {"json": "{{ settings.token_ref }}"}


def test_what_goes_into_a_command_line_is_quoted_for_its_shell() -> None:
    call = adapter.render_call({"cmd": "ping {{ inputs.host }}"}, ROOTS, {"cmd"}, shlex.quote)

    assert call == {"cmd": "ping 'web 1; id'"}


@pytest.mark.parametrize("part", ["query", "headers", "form"])
def test_an_optional_part_that_is_null_is_left_out(part: str) -> None:
    body = {part: {"a": "{{ inputs.none | default(none) }}", "b": "{{ inputs.host }}"}}

    assert adapter.render_call(body, ROOTS, (), shlex.quote) == {part: {"b": "web 1; id"}}


# ── pages ────────────────────────────────────────────────────────────────────────────────────────

PAGES = {"next": "{{ response.json.next | default('') }}", "items": "{{ response.json.items }}"}
CALL = {"url": "https://a.example/api/h", "query": {"page": 1}, "bearer_ref": "env/TOKEN"}


def test_the_next_page_is_asked_as_the_answer_says_with_the_same_credentials() -> None:
    roots = answered({"json": {"next": "/api/h?page=2"}})

    assert adapter.next_call(PAGES, CALL, roots) == {
        "url": "https://a.example/api/h?page=2",
        "bearer_ref": "env/TOKEN",
    }


@pytest.mark.parametrize("given", [{}, {"next": ""}, {"next": None}])
def test_no_next_page_is_the_end(given: dict[str, Any]) -> None:
    assert adapter.next_call(PAGES, CALL, answered({"json": given})) is None


@pytest.mark.parametrize(
    "where",
    [
        "https://evil.example/api/h",
        "http://a.example/api/h",
        "https://a.example:8443/api/h",
        "//evil.example/x",
        "https://a.example.evil.example/",
    ],
)
def test_a_next_page_elsewhere_is_not_asked_for(where: str) -> None:
    with pytest.raises(PermanentError) as caught:
        adapter.next_call(PAGES, CALL, answered({"json": {"next": where}}))

    assert caught.value.failure_code == "next_elsewhere"


def test_a_next_page_that_is_no_url_is_an_answer_that_does_not_fit() -> None:
    with pytest.raises(PermanentError) as caught:
        adapter.next_call(PAGES, CALL, answered({"json": {"next": 2}}))

    assert caught.value.failure_code == "invalid_output"


def test_the_next_page_may_be_a_part_of_the_query() -> None:
    paginate = {"next_query": {"page": "{{ response.json.next | default(none) }}"}, "items": ""}

    following = adapter.next_call(paginate, CALL, answered({"json": {"next": 2}}))
    assert following == {**CALL, "query": {"page": 2}}
    assert adapter.next_call(paginate, CALL, answered({"json": {}})) is None


def test_items_that_are_no_list_do_not_fit() -> None:
    with pytest.raises(PermanentError) as caught:
        adapter.page_items(PAGES, answered({"json": {"items": "many"}}))

    assert caught.value.failure_code == "invalid_output"


# ── answers ──────────────────────────────────────────────────────────────────────────────────────


def test_the_first_rule_that_fits_says_what_an_answer_means() -> None:
    rules = [
        {"status": [404], "when": "response.json.title is defined", "code": "not_this"},
        {"status": [404, 410], "code": "gone", "message": "no {{ inputs.host }}"},
        {"status": [404], "code": "too_late"},
    ]
    found = adapter.failure(rules, answered({"status": 404, "json": None}), None)

    assert isinstance(found, PermanentError)
    assert (found.failure_code, found.message) == ("gone", "no web 1; id")


def test_a_rule_that_asks_about_what_is_not_there_does_not_fit() -> None:
    rules = [{"when": "response.json.error.code == 3", "code": "three"}]

    assert adapter.failure(rules, answered({"status": 200, "json": {}}), None) is None


def test_a_temporary_failure_keeps_how_long_the_other_side_asks_to_wait() -> None:
    tool = TemporaryError("http_status", "503", delay=dt.timedelta(seconds=9), details={"a": 1})
    rules = [{"status": [503], "code": "busy", "temporary": True}]
    found = adapter.failure(rules, answered({"status": 503}), tool)

    assert isinstance(found, TemporaryError)
    assert (found.failure_code, found.message, found.delay, found.details) == (
        "busy",
        "503",
        dt.timedelta(seconds=9),
        {"a": 1},
    )


def test_a_rule_may_make_a_temporary_failure_a_permanent_one() -> None:
    tool = TemporaryError("http_status", "503")
    found = adapter.failure([{"status": [503], "code": "off"}], answered({"status": 503}), tool)

    assert isinstance(found, PermanentError)


def test_an_exit_code_is_a_rule_of_commands() -> None:
    rules = [{"exit_code": [2], "code": "two"}]

    assert adapter.failure(rules, answered({"exit_status": 3}), None) is None
    found = adapter.failure(rules, answered({"exit_status": 2}), None)
    assert found is not None
    assert found.failure_code == "two"


def test_outputs_are_as_declared_else_the_items_else_the_answer() -> None:
    answer = {"json": {"id": 3}}
    declared = {"outputs": {"id": "{{ response.json.id }}", "all": "{{ items | length }}"}}

    assert adapter.outputs(declared, answered(answer, items=[1, 2])) == {"id": 3, "all": 2}
    assert adapter.outputs({}, answered(answer, items=[1])) == {"items": [1]}
    assert adapter.outputs({}, answered(answer)) == answer


def test_an_answer_that_lacks_an_output_does_not_fit() -> None:
    with pytest.raises(PermanentError, match=r"response\.json\.id") as caught:
        adapter.outputs({"outputs": {"id": "{{ response.json.id }}"}}, answered({"json": {}}))

    assert caught.value.failure_code == "invalid_output"


def test_an_answer_that_was_not_read_as_json_says_why() -> None:
    roots = answered({"status": 200, "headers": {}, "body": '{"id": 7}', "json": None})

    with pytest.raises(PermanentError, match="Content-Type is absent") as caught:
        adapter.outputs({"outputs": {"id": "{{ response.json.id }}"}}, roots)

    assert caught.value.failure_code == "invalid_output"
