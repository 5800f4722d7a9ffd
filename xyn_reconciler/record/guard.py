"""The last guard before Git (promise P6): no secret that was stored by mistake is recorded.

What is found is replaced, and told with its place, because a row should never have held
it: the condition ``SecretCaught`` and an entry of the audit name the field.
"""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.condition import Condition
from xyn_reconciler.model.event import SYSTEM_ACTOR
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.store import audit, desired
from xyn_reconciler.store.database import Connection

SHOWN: Final = 5
_IDS: Final = ("run_id", "event_id", "artifact_id", "audit_id")


def guarded(redactor: Redactor, content: bytes) -> tuple[bytes, list[str]]:
    """Give a segment without known secrets, and the places where there were any.

    Nearly always there is nothing: rows are redacted when they are stored. Where
    there is something, the lines that hold it are redacted value by value, so
    that nothing is replaced from one value into the next; every line stays a JSON object.
    """
    if redactor.bytes(content) == content:
        return content, []
    lines, places = list[bytes](), list[str]()
    for line in content.removesuffix(b"\n").split(b"\n"):
        if redactor.bytes(line) == line:
            lines.append(line + b"\n")
            continue
        found = json.loads(line)
        clean = redactor.value(found)
        places += [redactor.text(f"{_name(found)}: {place}") for place in _places(redactor, found)]
        text = json.dumps(clean, ensure_ascii=True, separators=(",", ":"))
        lines.append(text.encode() + b"\n")
    return b"".join(lines), places


def tell_caught(connection: Connection, places: Sequence[str], now: dt.datetime) -> None:
    """Raise the condition, and note every place in the audit; nothing where there is none."""
    if not places:
        return
    named = "; ".join(places[:SHOWN])
    more = f"; and {len(places) - SHOWN} more (xynctl audit list)" if len(places) > SHOWN else ""
    message = (
        f"a secret was taken out of a record at the last moment: {named}{more}. The row still"
        " holds it, unless it became a secret only afterwards: change the secret, and have the"
        " event forgotten"
    )
    desired.set_condition(connection, Condition("SecretCaught", True, "Caught", message, now))  # noqa: FBT003 - the condition holds
    audit.put(
        connection,
        [
            AuditEntry(kind="secret.caught", actor=SYSTEM_ACTOR, at=now, subject=place[:400])
            for place in places
        ],
    )


def _name(line: dict[str, Any]) -> str:
    """Say which line: ``run 0198…``."""
    kind = line.get("kind")
    own = line.get(str(kind))
    for holder in (own if isinstance(own, dict) else {}, line):
        found = next((f"{kind} {holder[key]}" for key in _IDS if key in holder), None)
        if found is not None:
            return found
    return str(kind)


def _places(redactor: Redactor, value: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401 - any JSON value
    match value:
        case str() if redactor.value(value) != value:
            yield path.removeprefix(".")
        case dict():
            for key, item in value.items():
                if redactor.text(key) != key or redactor.value({key: item}) != {key: item}:
                    below = list(_places(redactor, item, f"{path}.{key}"))
                    yield from below or [f"{path}.{key}".removeprefix(".")]
        case list():
            for index, item in enumerate(value):
                yield from _places(redactor, item, f"{path}[{index}]")
