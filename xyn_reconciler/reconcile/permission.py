"""May somebody push this to ``main``? Asked before anything moves, with no evidence but the push.

Pure. The policies and principals of what is active decide. An approval, a test or a
backtest is nothing that a push could bring: where one is asked for, the way is a draft.
"""

import datetime as dt
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from xyn_reconciler.desired.diff import diff, newly_named
from xyn_reconciler.desired.effects import assess
from xyn_reconciler.desired.layout import governed_as
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.model.policy import Risk, risk_in_force
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.model.secret import secret_at
from xyn_reconciler.policy.change import Asked, ask, requests_of
from xyn_reconciler.policy.evaluate import PolicyInForce
from xyn_reconciler.policy.lockout import policies_in_force
from xyn_reconciler.policy.secret_use import ask_naming
from xyn_reconciler.reconcile.judge import Judgement, Known

_LONGEST_ADVICE: Final = 40


def asked_of_push(
    known: Known,
    judgement: Judgement,
    paths: Sequence[str],
    *,
    actor: Principal,
    settings: dict[str, Any],
    now: dt.datetime,
) -> list[Asked]:
    """Ask for everything that a push to ``main`` is; ``paths`` differ from ``main`` as it is.

    Before anything was active nothing rules.
    """
    if known.revision is None:
        return []
    policies = policies_in_force(known.state.files.values(), known.revision)
    requests = requests_of(
        # Also a commit that changes no file moves main.
        map(governed_as, paths or [""]),
        actor=actor,
        stage=settings["stage"],
        env_id=settings["env_id"],
        risk=_risk(known.state, judgement, policies),
        now=now,
        resource_id="main",
    )
    secrets = asked_of_secrets(
        known.state, judgement.state, paths, policies, actor=actor, settings=settings, now=now
    )
    return [*ask(requests, policies), *secrets]


def asked_of_secrets(
    before: DesiredState,
    after: DesiredState,
    paths: Iterable[str],
    policies: Sequence[PolicyInForce],
    *,
    actor: Principal,
    approvers: Collection[Principal] = (),
    settings: Mapping[str, Any],
    now: dt.datetime,
) -> list[Asked]:
    """Give what keeps ``actor`` from bringing in references, or values, of others' secrets."""
    touched = sorted(paths)
    old, new = (
        [state.files[path] for path in touched if path in state.files] for state in (before, after)
    )
    return ask_naming(
        newly_named(old, new),
        {name for path in touched if (name := secret_at(path)) is not None},
        policies,
        actor=actor,
        approvers=approvers,
        stage=settings.get("stage", "dev"),
        env_id=settings.get("env_id", "local"),
        now=now,
    )


def _risk(before: DesiredState, judgement: Judgement, policies: Sequence[PolicyInForce]) -> Risk:
    touched = [change.path for change in judgement.changes]
    old, new = (
        DesiredState.of(state.files[path] for path in touched if path in state.files)
        for state in (before, judgement.state)
    )
    return assess(diff(old, new), risk_in_force(each.policy for each in policies))[0]


def refusal(asked: Sequence[Asked], subject: str) -> list[str]:
    """Say what stands in the way, and where to push instead; nothing if nothing does.

    ``subject`` is that of the pushed commit: the advised name is made of it.
    """
    missing = [
        # What is denied is told in a whole sentence.
        words if each.outcome == "refused" else f"{each.request.action} needs {words}"
        for each in asked
        for words in each.unmet
    ]
    if not missing:
        return []
    way = f"git push origin HEAD:draft/{_name(subject)}"
    return [*dict.fromkeys(missing), f"main needs a review here and was not moved: {way}"]


def _name(subject: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", subject.lower())[:_LONGEST_ADVICE].strip("-")
    return words or "name"
