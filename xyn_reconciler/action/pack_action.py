"""An action that a pack brings: its definition in ``pack.yaml``, at work.

An adapter asks one of the installed actions (:mod:`~xyn_reconciler.action.adapter` says what,
and what the answer means), so egress, secrets, deadline, idempotency key and live log are
that action's. A program of the pack is run confined, or in a container. The trap: a pack is
data that somebody pushed; what fails because of it is a ``StepError`` of the step, never a
fault of the worker.
"""

import datetime as dt
import functools
import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from xyn_reconciler.action import adapter, confined, contained, pack_program
from xyn_reconciler.action.context import Action, ActionContext
from xyn_reconciler.desired.expression import render_value
from xyn_reconciler.desired.packs import CONFIG, PROGRAMS, pack_spec, with_defaults
from xyn_reconciler.desired.source import parse
from xyn_reconciler.desired.values import size
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError
from xyn_reconciler.model.pack import BODIES, CODE
from xyn_reconciler.model.run import PlanPack
from xyn_reconciler.model.units import parse_duration, parse_size

MEMORY: Final = "256MB"
TIMEOUT: Final = "5m"
MOST_ASKED: Final = 50
"""Requests that one attempt of a program may ask for."""
_JUDGED: Final = frozenset({"http_status", "exit_status"})
"""What a tool takes an answer for that the pack may understand otherwise."""


class PackAction:
    """One action of a pack; ``tools`` are the installed actions by name."""

    def __init__(
        self,
        name: str,
        definition: Mapping[str, Any],
        pack: PlanPack,
        tools: Mapping[str, Action],
    ) -> None:
        self._name = name
        self._definition = definition
        self._pack = pack
        self._tools = tools

    @functools.cached_property
    def spec(self) -> ActionSpec:
        tools = {name: tool.spec for name, tool in self._tools.items()}
        return pack_spec(self._name, self._definition, tools)

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        """Do it, and give outputs that fit the pack's schema.

        Codes besides those of the tool and those that the pack declares: ``invalid_inputs``,
        ``invalid_output``, ``not_installed``; of pages ``too_many_pages``, ``next_elsewhere``,
        ``too_large``; of programs those of :func:`confined.run` and :func:`pack_program.answer`.
        """
        given = with_defaults(self.spec.input_schema, dict(inputs))
        _check(
            self.spec.input_schema,
            given,
            "invalid_inputs",
            f"the inputs of {self._name} do not fit",
            context,
        )
        body = next((each for each in BODIES if each in self._definition), None)
        roots = {"inputs": given, "settings": self._pack.settings}
        if body is not None:
            found = self._adapted(body, roots, context)
        elif CODE in self._definition:
            found = self._programmed(roots, context)
        else:
            raise PermanentError("not_installed", f"{self._name} has no body in its pack")
        what = f"what {self._name} gave does not fit"
        _check(self.spec.output_schema, found, "invalid_output", what, context)
        return found

    # ── without code ─────────────────────────────────────────────────────────────────────────────

    def _adapted(self, body: str, roots: dict[str, Any], context: ActionContext) -> dict[str, Any]:
        tool = self._tools.get(BODIES[body])
        if tool is None:
            raise PermanentError("not_installed", f"{BODIES[body]} cannot be run on this node")
        quoted = tool.spec.shell_inputs
        call = adapter.render_call(self._definition[body], roots, quoted, shlex.quote)
        paginate = self._definition.get("paginate")
        if paginate is None:
            found = {**roots, "response": self._answer(tool, call, roots, context)}
            return adapter.outputs(self._definition, found)
        items: list[Any] = []
        for _ in range(paginate.get("most", adapter.MOST_PAGES)):
            found = {**roots, "response": self._answer(tool, call, roots, context)}
            items += adapter.page_items(paginate, found)
            size(items)
            following = adapter.next_call(paginate, call, found)
            if following is None:
                return adapter.outputs(self._definition, {**found, "items": items})
            call = following
        raise PermanentError(
            "too_many_pages",
            f"there are more than {paginate.get('most', adapter.MOST_PAGES)} pages:"
            " ask for less, or raise paginate.most",
        )

    def _answer(
        self, tool: Action, call: dict[str, Any], roots: Mapping[str, Any], context: ActionContext
    ) -> dict[str, Any]:
        """Give the tool's answer, unless it means a failure."""
        _check(
            tool.spec.input_schema,
            call,
            "invalid_inputs",
            f"what {tool.spec.name} is given does not fit",
            context,
        )
        rules = self._definition.get("errors") or ()
        wide = call
        # A body that becomes an artifact is read only where it is wanted.
        if tool.spec.name == BODIES["request"] and rules and "save_to" not in call:
            wide = {**call, "expect_status": list(adapter.ALL_ANSWERS)}
        failed: StepError | None = None
        try:
            answer = tool.run(wide, context)
            failed = None if wide is call else _judged(answer, call.get("expect_status"), context)
        except StepError as error:
            if error.failure_code not in _JUDGED:
                raise
            failed, answer = error, error.details or {}
        meant = adapter.failure(rules, {**roots, "response": answer}, failed) or failed
        if meant is not None:
            raise meant
        return answer

    # ── with code ────────────────────────────────────────────────────────────────────────────────

    def _programmed(self, roots: dict[str, Any], context: ActionContext) -> dict[str, Any]:
        code = self._definition[CODE]
        seconds = parse_duration(code.get("timeout", TIMEOUT)).total_seconds()
        context = replace(context, deadline=min(context.deadline, time.monotonic() + seconds))
        memory, files = code.get("memory", MEMORY), _programs(self._pack.files)
        if code["file"] not in files:
            raise PermanentError("not_installed", f"the pack has no file {code['file']}")
        answers: list[Any] = []
        told = {**self._request(code, roots, context), "answers": answers}
        while True:
            request = json.dumps(told).encode()
            if code.get("in", "process") == "process":
                most = parse_size(memory)
                ended = confined.run(code["file"], files, request, context, memory=most)
            else:
                chosen = {key: code[key] for key in ("image", "network") if key in code}
                rendered: Any = render_value(chosen, roots)  # A mapping stays one.
                settings = {**rendered, "memory": memory}
                ended = contained.run(code["file"], files, request, context, settings)
            said = pack_program.answer(ended, context.redact)
            if not isinstance(said, pack_program.Asked):
                return said
            if len(answers) == MOST_ASKED:
                message = f"the program asks for more than {MOST_ASKED} requests"
                raise PermanentError("too_many_requests", message)
            answers.append(self._asked(said, roots, _numbered(context, len(answers))))
            size(answers)

    def _asked(
        self, asked: pack_program.Asked, roots: Mapping[str, Any], context: ActionContext
    ) -> dict[str, Any]:
        """Make a request for the program; it is told of a failure as of an answer."""
        http = BODIES["request"]
        declared = (self._definition[CODE].get("ask") or {}).get(asked.of)
        if declared is None:
            message = f"the program asks {asked.of!r}, which run.ask of the pack does not name"
            raise PermanentError("invalid_answer", message)
        call = pack_program.request_of(
            asked, adapter.render_call(declared, roots, frozenset(), shlex.quote)
        )
        _check(
            self._tools[http].spec.input_schema,
            call,
            "invalid_inputs",
            "what the program asks does not fit",
            context,
        )
        try:
            return self._tools[http].run(call, context)
        except StepError as error:
            delay = error.delay if isinstance(error, TemporaryError) else None
            failure = {
                "code": error.failure_code,
                "message": error.message,
                "temporary": isinstance(error, TemporaryError),
                "retry_after": None if delay is None else delay.total_seconds(),
                "details": error.details or {},
            }
            return {"error": failure}

    def _request(
        self, code: Mapping[str, Any], roots: dict[str, Any], context: ActionContext
    ) -> dict[str, Any]:
        """What the program reads: all that it is told."""
        references = [str(render_value(each, roots)) for each in code.get("secrets", ())]
        return {
            "action": self._name,
            **roots,
            "config": _config(self._pack.files),
            "secrets": {reference: _secret(reference, context) for reference in references},
            "idempotency_key": context.idempotency_key,
            "run_id": str(context.run_id),
            "step_id": str(context.step_id),
            "attempt": context.attempt,
            "now": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        }


def _numbered(context: ActionContext, number: int) -> ActionContext:
    """Each request of an attempt is another one to the other side, and the same in the next."""
    key = context.idempotency_key
    return context if key is None else replace(context, idempotency_key=f"{key} {number + 1}")


def _config(files: Mapping[str, str]) -> dict[str, Any]:
    """What stands in ``config/``, read, by name: ``config/edge.yaml`` is ``edge``."""
    found: dict[str, Any] = {}
    for path, text in sorted(files.items()):
        name, _, kind = path.removeprefix(CONFIG).rpartition(".")
        if path.startswith(CONFIG) and kind in ("yaml", "yml", "json"):
            source = parse(path, text)[0]
            found[name] = None if source is None else source.value
    return found


def _programs(files: Mapping[str, str]) -> dict[str, str]:
    """The files that a program finds, itself among them; none that would lie elsewhere."""
    return {
        path: text
        for path, text in files.items()
        if path.startswith(PROGRAMS) and ".." not in path.split("/")
    }


def _secret(reference: str, context: ActionContext) -> str:
    value = context.secret(reference)
    if value is None:
        raise PermanentError("secret_not_found", f"there is no secret {reference} on this node")
    return value


def _judged(
    answer: dict[str, Any], expected: list[int] | None, context: ActionContext
) -> StepError | None:
    """What ``http.call`` itself takes an answer for."""
    from xyn_reconciler.action.http_answer import judged  # noqa: PLC0415 - loaded by the call

    try:
        judged(answer, expected, context.redact)
    except StepError as error:
        return error
    return None


def _check(
    schema: Mapping[str, Any], value: dict[str, Any], code: str, what: str, context: ActionContext
) -> None:
    from xyn_reconciler.model.schema_check import mismatch  # noqa: PLC0415 - jsonschema takes 8 MiB

    problem = mismatch(schema, value, context.redact) if schema else None
    if problem is not None:
        raise PermanentError(code, f"{what}: {problem}")
