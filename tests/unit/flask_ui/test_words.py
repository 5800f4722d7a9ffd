import datetime as dt

import pytest

from flask_ui.words import ago, clock, duration, gist, is_failure, said, size

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "just now"),
        (5, "5 s ago"),
        (125, "2 min ago"),
        (7200, "2 h ago"),
        (260_000, "3 d ago"),
        (-90, "in 1 min"),
    ],
)
def test_a_moment_is_said_as_people_say_it(seconds: float, words: str) -> None:
    assert ago(NOW - dt.timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0123, "12 ms"), (2.34, "2.3 s"), (125, "2 min 5 s"), (3720, "1 h 2 min")],
)
def test_a_duration_is_short(seconds: float, words: str) -> None:
    assert duration(NOW, NOW + dt.timedelta(seconds=seconds)) == words


def test_a_duration_without_an_end_is_a_dash() -> None:
    assert duration(NOW, None) == "\N{EN DASH}"


def test_sizes_have_units() -> None:
    assert [size(0), size(2048), size(3 * 1024**2), size(5 * 1024**3)] == [
        "0 B",
        "2.0 KiB",
        "3.0 MiB",
        "5.0 GiB",
    ]


def test_the_gist_of_an_event_is_one_line() -> None:
    assert (
        gist({"host": "web-1", "n": [1, 2], "text": "a\nb"}) == "host: web-1, n: [1, 2], text: a b"
    )
    assert len(gist({"text": "x" * 1000})) == 120


@pytest.mark.parametrize(
    ("event_name", "marked"),
    [
        ("xyn.run.failed", True),
        ("xyn.blueprint.validation_failed", True),
        ("xyn.cicd.test.failed", True),
        ("xyn.backup.failed", True),
        ("xyn.infra.disk.failed", True),
        ("xyn.run.completed", False),
        ("demo.run.failed", False),
    ],
)
def test_failures_of_the_platform_are_marked(event_name: str, marked: bool) -> None:
    assert is_failure(event_name) is marked


def test_a_moment_is_told_on_the_clock_of_a_zone() -> None:
    summer = dt.datetime(2026, 7, 1, 0, 30, tzinfo=dt.UTC)

    assert clock(summer, "Europe/Berlin") == "Wed 2026-07-01 02:30 CEST"


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "nothing"), ("CRIT", "CRIT"), (["a", 1], '["a", 1]'), ("x" * 200, "x" * 119 + "…")],
)
def test_a_value_is_said_on_one_line(value: object, words: str) -> None:
    assert said(value) == words
