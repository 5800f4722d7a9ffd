"""Audit entries in words: one sentence each, for a person who asks what happened. Pure.

An entry of a kind that is not known here is said by its kind and subject: older
and newer nodes write into the same chain.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from xyn_reconciler.model.audit import AuditEntry

_SHORT: Final = 12
_HEADS: Final = "refs/heads/"

Entry = Mapping[str, Any]

_HOW: Final = {
    "push": "by a push",
    "promotion": "to promote a draft",
    "rollback": "to roll back",
    "settings": "by the API",
    "origin": "as the node that this one follows did",
}


def sentence(entry: AuditEntry) -> str:
    """Say what happened: who first, then what."""
    say = _SENTENCES.get(entry.kind)
    subject = entry.subject or ""
    if say is None:
        return f"{entry.actor}: {entry.kind}" + (f" of {subject}" if subject else "")
    return f"{entry.actor} {say(subject, entry.entry)}"


def _accepted(ref: str, entry: Entry) -> str:
    name, old, new = ref.removeprefix(_HEADS), entry.get("old"), entry.get("new")
    if entry.get("how") == "init":
        return f"began the log with {name} at {_sha(new)}"
    how = _HOW.get(str(entry.get("how")), "")
    if new is None:
        return f"had the deletion of {name} accepted ({_sha(old)}) {how}".rstrip()
    start = "its beginning" if old is None else _sha(old)
    return f"had the move of {name} from {start} to {_sha(new)} accepted {how}".rstrip()


def _decided(action: str, entry: Entry) -> str:
    about = " ".join(str(entry[key]) for key in ("resource_type", "resource_id") if entry.get(key))
    asked = f"asked for {action}" + (f" on {about}" if about else "")
    outcome = str(entry.get("outcome", "decided")).replace("_", " ")
    rule = "/".join(str(entry[key]) for key in ("policy_id", "rule_id") if entry.get(key))
    by = f" by {rule}" if rule else ""
    unmet = "; ".join(map(str, entry.get("unmet") or ()))
    grant = " (break-glass)" if entry.get("grant_id") else ""
    return f"{asked}: {outcome}{by}{grant}" + (f"; {unmet}" if unmet else "")


def _checked(_: str, entry: Entry) -> str:
    bad = sorted(name for name, status in entry.get("checks", {}).items() if status == "failed")
    said = f"failed: {', '.join(bad)}" if bad else "none failed"
    return f"checked iteration {entry.get('iteration')}, {said}"


def _commented(_: str, entry: Entry) -> str:
    where = f" on {entry['path']}:{entry['line']}" if entry.get("path") else ""
    return f"commented{where}: {entry.get('text', '')}"


def _voted(word: str) -> Callable[[str, Entry], str]:
    def say(_: str, entry: Entry) -> str:
        comment = f": {entry['comment']}" if entry.get("comment") else ""
        return f"{word} iteration {entry.get('iteration')} of a draft{comment}"

    return say


def _opened(_: str, entry: Entry) -> str:
    return f"opened the review of draft {entry.get('name')} at {_sha(entry.get('head'))}"


def _checkpoint(_: str, entry: Entry) -> str:
    return f"noted where all stands: main {_sha(entry.get('main'))}, audit {entry.get('sequence')}"


_SENTENCES: Final[Mapping[str, Callable[[str, Entry], str]]] = {
    "ref.accepted": _accepted,
    "policy.decided": _decided,
    "secret.used": lambda reference, entry: (
        f"{'used' if entry.get('outcome') == 'granted' else 'was refused'} secret {reference}"
        f" in step {entry.get('step')} ({entry.get('action')}) of run {entry.get('run_id')}"
    ),
    "secret.caught": lambda place, _: f"took a secret out of {place}, at the last moment",
    "action.executed": lambda run, entry: (
        f"ran the action {entry.get('action')} by itself, run {run}"
    ),
    "review.opened": _opened,
    "review.updated": lambda _, entry: (
        f"pushed iteration {entry.get('iteration')} of a draft, {_sha(entry.get('head'))}"
    ),
    "review.checked": _checked,
    "review.commented": _commented,
    "review.approved": _voted("approved"),
    "review.rejected": _voted("rejected"),
    "review.promoted": lambda _, entry: (
        f"promoted draft {entry.get('name')} as {_sha(entry.get('commit'))}"
    ),
    "review.closed": lambda _, entry: f"closed draft {entry.get('name')} without promoting it",
    "rollback": lambda revision, entry: (
        f"took back {_sha(revision)} with {_sha(entry.get('commit'))}"
    ),
    "break_glass.opened": lambda _, entry: (
        f"broke the glass: {entry.get('role')} until {entry.get('expires_at')},"
        f" because {entry.get('reason')}"
    ),
    "break_glass.signed_off": lambda _, _entry: "signed a break-glass off",
    "token.created": lambda principal, entry: f"made token {entry.get('token_id')} for {principal}",
    "token.revoked": lambda principal, entry: (
        f"revoked token {entry.get('token_id')} of {principal}"
    ),
    "session.opened": lambda principal, _: f"opened a session of {principal}",
    "session.closed": lambda principal, _: f"closed a session of {principal}",
    "gate.approved": lambda run, entry: f"approved gate {entry.get('step')} of run {run}",
    "gate.rejected": lambda run, entry: f"rejected gate {entry.get('step')} of run {run}",
    "event.forgotten": lambda event, entry: (
        f"had event {event} forgotten; {entry.get('ref')} was written anew"
    ),
    "checkpoint": _checkpoint,
}


def _sha(value: object) -> str:
    return "nothing" if value is None else str(value)[:_SHORT]
