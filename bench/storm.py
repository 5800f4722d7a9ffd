"""``python -m bench.storm``: ten thousand alerts while workers are killed, and what is true then.

``make demo-storm``. Everything is set up in a folder of its own and gone afterwards.
Exit code 1 when a claim does not hold.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, Final

from bench import storm_alerts, storm_node
from bench.place import BenchError, Place, open_place
from bench.sizes import FULL
from bench.storm_alertmanager import Alertmanager
from bench.storm_alerts import Alert
from bench.storm_node import StormNode
from bench.storm_parts import Effects, Killer, Reader, Sender, alongside
from bench.terminal import heed_signals, say_since

ALERTS: Final = 10_000
REPEATED: Final = 0.3
KILLS: Final = 20
HOOK: Final = "/hooks/alertmanager"
_TELL_SECONDS: Final = 2.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that is said to be so, and the two numbers that have to be the same."""

    text: str
    expected: int
    found: int

    @property
    def holds(self) -> bool:
        return self.expected == self.found

    def __str__(self) -> str:
        mark = "holds" if self.holds else "FAILS"
        return f"  {mark}  {self.expected:>7,}  {self.found:>7,}  {self.text}"


@dataclass(frozen=True, slots=True)
class Storm:
    """What was sent, and what was seen while it blew."""

    alerts: Sequence[Alert]
    effects: Effects
    reader: Reader
    killer: Killer
    resolved: int
    answers: Sequence[dict[str, Any]] | None
    """What each notification was answered; ``None`` where Alertmanager posted them."""
    bodies: Sequence[storm_alerts.Body]

    @property
    def unique(self) -> set[str]:
        return {each["fingerprint"] for each in self.alerts}


def main() -> int:
    arguments = _arguments()
    heed_signals()
    say = say_since(time.monotonic())
    try:
        with open_place(say, FULL) as place:
            claims = _demonstrate(place, arguments)
    except KeyboardInterrupt:
        print("storm: interrupted", file=sys.stderr)
        return 1
    except (BenchError, subprocess.CalledProcessError) as error:
        print(f"storm: {error}", file=sys.stderr)
        return 1
    failed = [claim for claim in claims if not claim.holds]
    print("all of it holds" if not failed else f"{len(failed)} of {len(claims)} do NOT hold")
    return 1 if failed else 0


def _demonstrate(place: Place, arguments: argparse.Namespace) -> list[Claim]:
    chance = random.Random(arguments.seed)
    alerts = storm_alerts.storm(arguments.alerts, REPEATED, chance)
    effects = Effects()
    place.stack.callback(effects.close)
    place.say("starting a node with two workers")
    node = storm_node.start(place, effects.port)
    place.say(f"watch it: http://127.0.0.1:{node.port}/ui/events")
    storm = _blow(place, node, effects, alerts, chance, arguments)
    place.say("counting")
    claims = prove(storm, node)
    _show(storm, claims)
    return claims


def _blow(
    place: Place,
    node: StormNode,
    effects: Effects,
    alerts: Sequence[Alert],
    chance: random.Random,
    arguments: argparse.Namespace,
) -> Storm:
    unique = len({each["fingerprint"] for each in alerts})
    moments = [chance.randrange(unique) for _ in range(arguments.kills)]
    killer = Killer([each.process.pid for each in node.workers], effects, moments)
    reader = Reader(node.port)
    sender = Sender(node.port, HOOK)
    bodies = storm_alerts.bodies(alerts, chance)
    tell = _tell_of(place.say, unique, effects, killer, reader)
    with alongside(reader.run), alongside(killer.run), alongside(tell):
        if arguments.alertmanager:
            alertmanager = Alertmanager(place, f"http://127.0.0.1:{node.port}{HOOK}")
            place.say(f"posting {len(alerts):,} alerts to {alertmanager.program}")
            alertmanager.post(alerts)
        else:
            place.say(f"posting {len(alerts):,} alerts in {len(bodies):,} notifications")
            sender.send([json.dumps(body).encode() for body in bodies])
            place.say("every notification is answered")
        resolved = storm_node.settle(node, lambda: len(effects.seen), unique)
    answers = None if arguments.alertmanager else sender.answered
    return Storm(alerts, effects, reader, killer, resolved, answers, bodies)


def _tell_of(
    say: Say, unique: int, effects: Effects, killer: Killer, reader: Reader
) -> Callable[[Event], None]:
    """Give what says every few seconds how far the storm is."""

    def tell(stop: Event) -> None:
        while not stop.wait(_TELL_SECONDS):
            done = len(effects.seen)
            say(
                f"{done:>6,} of {unique:,} alerts acted on ({done / unique:4.0%}),"
                f" {killer.killed} workers killed, {len(reader.seconds)} pages read"
            )

    return tell


def prove(storm: Storm, node: StormNode) -> list[Claim]:
    """Compare what was sent with what the node did, and what it says that it did."""
    unique, effects = storm.unique, storm.effects
    runs = node.runs()
    by_alert = Counter(run["inputs"]["alert"] for run in runs)
    ended = {run["run_id"] for run in runs if run["status"] == "completed"}
    again = [run for run in runs if effects.seen[run["inputs"]["alert"]] > 1]
    covered = sum(
        effects.seen[run["inputs"]["alert"]] <= node.attempts(run["run_id"]) for run in again
    )
    recorded = node.recorded()
    return [
        *_intake(storm),
        Claim("unique alerts = runs", len(unique), len(runs)),
        Claim(
            "unique alerts = alerts with exactly one run",
            len(unique),
            sum(by_alert[each] == 1 for each in unique),
        ),
        Claim("runs = runs that completed", len(runs), len(ended)),
        Claim(
            "unique alerts = effects outside, counted by idempotency key",
            len(unique),
            len(unique & effects.seen.keys()),
        ),
        Claim("effects = idempotency keys ever seen", len(unique), len(effects.seen)),
        Claim(
            "calls repeated under their key = those whose worker was killed in the middle",
            len(again),
            covered,
        ),
        Claim("completed runs = completed runs in a clone's records", len(ended), len(recorded)),
        Claim("... the same runs", len(ended), len(ended & recorded)),
        Claim("pages asked for = pages answered", storm.reader.asked, len(storm.reader.seconds)),
    ]


def _intake(storm: Storm) -> list[Claim]:
    if storm.answers is None:
        return []
    events: dict[str, set[str]] = {}
    for body, answer in zip(storm.bodies, storm.answers, strict=True):
        for each, event_id in zip(body["alerts"], answer["event_ids"], strict=True):
            events.setdefault(each["fingerprint"], set()).add(event_id)
    stored = set().union(*events.values())
    return [
        Claim("notifications = answers 202", len(storm.bodies), len(storm.answers)),
        Claim("unique alerts = events, a repeat has the first one's", len(events), len(stored)),
    ]


def _show(storm: Storm, claims: Sequence[Claim]) -> None:
    sent, unique = len(storm.alerts), len(storm.unique)
    print(f"\nAlert storm: {sent:,} alerts, {sent - unique:,} of them again, shuffled.")
    print(f"Workers killed with SIGKILL: {storm.killer.killed}.")
    print(f"Runs set aside after three kills, and taken up by hand: {storm.resolved}.")
    if storm.reader.seconds:
        typical, worst = statistics.median(storm.reader.seconds), max(storm.reader.seconds)
        print(f"Pages: {typical:.2f} s as a rule, {worst:.2f} s at worst.")
    for refused in storm.reader.refused[:5]:
        print(f"  {refused}")
    print("\n         expected   found")
    for claim in claims:
        print(claim)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.storm", description=__doc__)
    parser.add_argument("--alerts", type=int, default=ALERTS, help=f"how many ({ALERTS})")
    parser.add_argument("--kills", type=int, default=KILLS, help=f"workers to kill ({KILLS})")
    parser.add_argument("--seed", type=int, default=1, help="another storm (1)")
    parser.add_argument(
        "--alertmanager",
        action="store_true",
        help="post the alerts to a real Alertmanager, which groups and sends them",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
