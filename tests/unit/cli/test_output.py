import json

import pytest

from xyn_reconciler.cli.output import answer, json_text, paint, print_list, print_one, remark, table

ROWS = [
    {"run_id": "a", "status": "failed", "name": "x\x1b[2Jy"},
    {"run_id": "b", "status": "completed", "name": "z" * 999},
]
COLUMNS = {
    "run": lambda row: row["run_id"],
    "status": lambda row: row["status"],
    "name": lambda row: row["name"],
}


def test_a_table_has_its_titles_above_and_cuts_what_is_long() -> None:
    lines = table(ROWS, COLUMNS).splitlines()

    assert lines[0].split() == ["RUN", "STATUS", "NAME"]
    assert lines[2].endswith("z…")
    assert len(lines[2]) < 240
    assert (
        len(
            {
                line.index(word)
                for line, word in zip(lines, ("STATUS", "failed", "completed"), strict=True)
            }
        )
        == 1
    )


def test_a_column_that_others_follow_is_cut_sooner() -> None:
    rows = [{"a": "x" * 70, "b": "y" * 70}]

    (line,) = table(rows, {"a": lambda row: row["a"], "b": lambda row: row["b"]}).splitlines()[1:]

    assert line == "x" * 59 + "…  " + "y" * 70


def test_a_moment_in_a_table_has_whole_seconds() -> None:
    rows = [{"at": "2026-11-22T21:49:10.404141Z"}, {"at": "at 2026-11-22T21:49:10.404141Z"}]

    assert table(rows, {"at": lambda row: row["at"]}).splitlines()[1:] == [
        "2026-11-22T21:49:10Z",
        "at 2026-11-22T21:49:10.404141Z",
    ]


def test_what_strangers_sent_does_not_command_the_terminal() -> None:
    assert "\x1b" not in table(ROWS, COLUMNS)
    assert "\\x1b[2J" in table(ROWS, COLUMNS)


ORDERS = "\x1b]0;title\x07\x1b[2J\x9b31m\x7f\u202e\r\x1b[32mgreen"


def test_a_terminal_is_given_no_orders_by_any_door(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)

    answer(f"a\tb\nstatus {ORDERS}\n{paint(' completed')}")
    remark(f"xynctl: {ORDERS}")
    said = capsys.readouterr()

    assert said.out.startswith("a\tb\nstatus \\x1b]0;title\\x07\\x1b[2J\\x9b31m\\x7f\\u202e\\r")
    assert said.out.endswith(" \x1b[32mcompleted\x1b[0m\n")
    assert not set("\x07\x9b\x7f\u202e\r") & set(said.out + said.err)
    assert "\x1b" not in said.err


def test_a_program_is_given_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    answer("a\r\n\x1b[2J")

    assert capsys.readouterr().out == "a\r\n\x1b[2J\n"


def test_json_says_the_same_and_orders_nothing() -> None:
    value = {"é\u009b": ["\x7f", "\u2028 𝄞 \U000e0001", ORDERS, "\ud800"]}

    text = json_text(value)

    assert json.loads(text) == value
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "é" in text
    assert "𝄞" in text


def test_a_list_as_json_is_one_array_even_when_it_is_empty(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_list([], COLUMNS, name="run_id", form="json", empty="none yet")

    out, err = capsys.readouterr()
    assert json.loads(out) == []
    assert err == ""


def test_a_list_as_names_is_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_list(ROWS, COLUMNS, name="run_id", form="name", empty="none yet")

    assert capsys.readouterr().out == "a\nb\n"


def test_an_empty_table_is_a_remark_that_names_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_list(
        [], COLUMNS, name="run_id", form="table", empty="none yet; start one: xynctl run start"
    )

    out, err = capsys.readouterr()
    assert out == ""
    assert err == "none yet; start one: xynctl run start\n"


def test_one_thing_is_a_line_for_each_field_that_says_something(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_one(
        {"run_id": "a", "error": None, "ready": True, "inputs": {"x": 1}},
        name="run_id",
        form="table",
    )

    assert capsys.readouterr().out.splitlines() == ["run_id  a", "ready   yes", 'inputs  {"x": 1}']


@pytest.mark.parametrize(("no_color", "colored"), [(None, True), ("", True), ("1", False)])
def test_statuses_have_colors_on_a_terminal_unless_no_color_is_set(
    monkeypatch: pytest.MonkeyPatch, no_color: str | None, colored: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)

    assert ("\x1b[31mfailed\x1b[0m" in paint("a  failed")) is colored
