import json
from pathlib import Path

from xyn_reconciler.node.output import LIMIT, Output


def test_the_log_of_a_node_does_not_grow_for_ever(tmp_path: Path) -> None:
    output = Output(tmp_path / "all.log")
    with output.open() as (descriptor, _), open(descriptor, "wb", closefd=False) as file:
        file.write(b"x" * LIMIT + b"y")
        file.flush()
        output.keep_short()
        file.write(b"after\n")

    assert (tmp_path / "all.log").read_bytes() == b"after\n"
    assert (tmp_path / "all.log.1").stat().st_size == LIMIT + 1
    assert (tmp_path / "all.log.1").stat().st_mode & 0o777 == 0o600


def test_a_person_is_told_of_trouble_and_of_plain_words_alone(tmp_path: Path) -> None:
    output = Output(tmp_path / "all.log")
    with output.open() as (descriptor, _), open(descriptor, "w", closefd=False) as file:
        file.write("before\n")
    with output.open() as (descriptor, before), open(descriptor, "w", closefd=False) as file:
        file.write(json.dumps({"level": "info", "message": "GET / 200"}) + "\n")
        file.write(json.dumps({"level": "error", "message": "no", "exception": "Oh: dear"}) + "\n")
        file.write("xyn web: not like this\n")

    assert output.since(before) == "no\nOh: dear\nxyn web: not like this"


def test_what_was_printed_before_the_log_was_cut_short_is_no_hindrance(tmp_path: Path) -> None:
    output = Output(tmp_path / "all.log")
    (tmp_path / "all.log").write_text("new\n")

    assert output.since(1_000) == "new"


def test_without_a_file_the_processes_print_where_the_command_does() -> None:
    with Output(None).open() as (descriptor, before):
        assert (descriptor, before) == (1, 0)
    assert Output(None).since(0) == ""
