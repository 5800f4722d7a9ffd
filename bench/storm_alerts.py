"""A storm of alerts as Alertmanager posts it: notifications of groups, some of it again. Pure.

An alert that is sent again stands in another notification of its group, as
Alertmanager repeats what still fires whenever the group gets a new one.
"""

import datetime as dt
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

Alert = dict[str, Any]
Body = dict[str, Any]

NAMES: Final = ("DiskFull", "HostDown", "CertificateExpires", "QueueStuck", "HighLatency")
HOSTS_OF_A_CLUSTER: Final = 25
MOST_IN_A_BODY: Final = 40
_NEVER: Final = "0001-01-01T00:00:00Z"
_OFFSET: Final = 14695981039346656037
_PRIME: Final = 1099511628211
_SEPARATOR: Final = 255
_BEGAN: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def alert(number: int) -> Alert:
    """Give one firing alert; the same number is the same alert."""
    kind, place = number % len(NAMES), number // len(NAMES)
    labels = {
        "alertname": NAMES[kind],
        "cluster": f"c{place // HOSTS_OF_A_CLUSTER:04d}",
        "instance": f"web-{place:06d}:9100",
        "severity": "critical" if number % 7 == 0 else "warning",
    }
    return {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": f"{labels['alertname']} on {labels['instance']}"},
        "startsAt": (_BEGAN + dt.timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "endsAt": _NEVER,
        "generatorURL": f"http://prometheus.example.net/graph?g0.expr={number}",
        "fingerprint": fingerprint(labels),
    }


def fingerprint(labels: Mapping[str, str]) -> str:
    """Give the name that Alertmanager tells an alert by: FNV-1a of its sorted labels."""
    found = _OFFSET
    for part in (text for label in sorted(labels.items()) for text in label):
        for byte in (*part.encode(), _SEPARATOR):
            found = (found ^ byte) * _PRIME % 2**64
    return f"{found:016x}"


def storm(count: int, repeated: float, chance: random.Random) -> list[Alert]:
    """Give ``count`` alerts in no order; the share ``repeated`` of them came before."""
    again = round(count * repeated)
    unique = [alert(number) for number in range(count - again)]
    alerts = [*unique, *chance.choices(unique, k=again)]
    chance.shuffle(alerts)
    return alerts


def bodies(alerts: Iterable[Alert], chance: random.Random) -> list[Body]:
    """Give the notifications that carry these alerts, in no order.

    Each holds alerts of one group, and none of them twice.
    """
    groups: dict[tuple[str, str], list[Alert]] = {}
    for each in alerts:
        labels = each["labels"]
        groups.setdefault((labels["alertname"], labels["cluster"]), []).append(each)
    found = [
        _body(dict(zip(("alertname", "cluster"), group, strict=True)), part)
        for group, held in groups.items()
        for part in _parts(held, chance)
    ]
    chance.shuffle(found)
    return found


def _parts(alerts: Iterable[Alert], chance: random.Random) -> Iterator[list[Alert]]:
    part: dict[str, Alert] = {}
    most = chance.randint(1, MOST_IN_A_BODY)
    for each in alerts:
        if len(part) == most or each["fingerprint"] in part:
            yield list(part.values())
            part, most = {}, chance.randint(1, MOST_IN_A_BODY)
        part[each["fingerprint"]] = each
    yield list(part.values())


def _body(group: Mapping[str, str], alerts: list[Alert]) -> Body:
    common = {
        key: value
        for key, value in alerts[0]["labels"].items()
        if all(each["labels"][key] == value for each in alerts)
    }
    named = ", ".join(f'{key}="{value}"' for key, value in group.items())
    return {
        "version": "4",
        "groupKey": f"{{}}:{{{named}}}",
        "truncatedAlerts": 0,
        "receiver": "xyn",
        "status": "firing",
        "groupLabels": dict(group),
        "commonLabels": common,
        "commonAnnotations": alerts[0]["annotations"] if len(alerts) == 1 else {},
        "externalURL": "http://alertmanager.example.net:9093",
        "alerts": alerts,
    }
