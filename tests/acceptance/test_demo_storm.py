"""``make demo-storm`` in small: what it prints, and that it does not hide what is not so."""

import re
import subprocess
import sys

import pytest

from bench.storm import Claim
from tests.neighbours import neighbour
from tests.running import clean_environment

pytestmark = pytest.mark.acceptance

ROW = re.compile(r"^  (holds|FAILS) +([\d,]+) +([\d,]+)  (.+)$", re.MULTILINE)


def demonstrate(*options: str) -> dict[str, tuple[str, int, int]]:
    """Run it; gives each claim with its mark and its two numbers."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.storm", "--alerts", "200", *options],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "all of it holds" in done.stdout
    assert "Workers killed with SIGKILL: 4." in done.stdout
    return {
        text: (mark, int(expected.replace(",", "")), int(found.replace(",", "")))
        for mark, expected, found, text in ROW.findall(done.stdout)
    }


def test_demo_storm_starts_one_run_for_each_alert_while_workers_are_killed() -> None:
    claims = demonstrate("--kills", "4")

    assert {mark for mark, _, _ in claims.values()} == {"holds"}
    for text in (
        "unique alerts = events, a repeat has the first one's",
        "unique alerts = runs",
        "unique alerts = effects outside, counted by idempotency key",
        "completed runs = completed runs in a clone's records",
    ):
        assert claims[text][1:] == (140, 140), text
    assert claims["pages asked for = pages answered"][1] > 0


def test_demo_storm_goes_through_a_real_alertmanager() -> None:
    neighbour("prometheus-alertmanager", "alertmanager")

    claims = demonstrate("--kills", "4", "--alertmanager")

    assert claims["unique alerts = runs"] == ("holds", 140, 140)
    assert claims["unique alerts = effects outside, counted by idempotency key"][0] == "holds"


def test_a_claim_whose_numbers_differ_is_shown_as_failed() -> None:
    assert ROW.fullmatch(str(Claim("runs", 1000, 1000)))
    found = ROW.fullmatch(str(Claim("runs", 1000, 999)))

    assert found is not None
    assert found.groups() == ("FAILS", "1,000", "999", "runs")
