"""Say in good words what a model refused, at the place where a person would mend it.

Between pydantic and :class:`~xyn_reconciler.model.errors.Problem`. Unions are told
apart by tags that begin with ``kind:``, so that a message is about the kind that
was chosen and never about every branch. The trap: a message repeats what stands in
the file only where :func:`shown` lets it, since that may be a secret.
"""

import re
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import Tag
from pydantic_core import ErrorDetails

from xyn_reconciler.desired.place import Place
from xyn_reconciler.desired.source import JSON, Source, too_many
from xyn_reconciler.desired.tree import MAX_PROBLEMS
from xyn_reconciler.desired.wording import did_you_mean, quoted
from xyn_reconciler.model.blueprint import STEP_KINDS
from xyn_reconciler.model.document import Part
from xyn_reconciler.model.errors import Problem
from xyn_reconciler.model.source import SCHEMES
from xyn_reconciler.model.token_patterns import find_token


@dataclass(slots=True)
class Report:
    """Collects what is said about one file.

    ``origins`` maps a place of the normalised document to where the author
    wrote it; places below it follow.
    """

    source: Source
    origins: Mapping[Place, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[Problem] = field(default_factory=list)
    more: int = 0
    """Problems beyond the first :data:`MAX_PROBLEMS`."""

    def written(self, place: Place) -> Place:
        """Where the author wrote what stands at a place of the normalised document."""
        for length in range(len(place), 0, -1):
            if (origin := self.origins.get(place[:length])) is not None:
                return origin + place[length:]
        return place

    def problem(
        self,
        place: Place,
        code: str,
        message: str,
        *,
        at_key: bool = False,
        offset: int | None = None,
    ) -> None:
        """Note what makes the file unacceptable."""
        if len(self.problems) >= MAX_PROBLEMS:
            self.more += 1
            return
        found = self.source.problem(
            self.written(place), code, message, at_key=at_key, offset=offset
        )
        if found not in self.problems:
            self.problems.append(found)

    def remark(self, place: Place, code: str, message: str, *, at_key: bool = False) -> None:
        """Note what the author may want to know."""
        self.remarks.append(self.source.problem(self.written(place), code, message, at_key=at_key))

    def all_problems(self) -> tuple[Problem, ...]:
        """Give them sorted, and at their end how many more there are."""
        found = sorted(self.problems)
        if self.more and found[-1].code != "too_many_problems":
            found.append(too_many(found[-1], self.more))
        return tuple(found)

    def position(self, place: Place) -> tuple[int, int]:
        return self.source.position(self.written(place))


def shown(value: object) -> str:
    """A value as a message may repeat it: never a credential, never long."""
    if not isinstance(value, str):
        return "this"
    return "this" if find_token(value) else quoted(value)


def complain(report: Report, model: Any, errors: list[ErrorDetails]) -> None:  # noqa: ANN401 - a model, or a union of models
    """Report pydantic's errors about the document that ``model`` refused."""
    report.more += len(errors[MAX_PROBLEMS:])
    errors = errors[:MAX_PROBLEMS]
    meant = {
        (*error["loc"][:-1], near)
        for error in errors
        if error["type"] == "extra_forbidden" and (near := _near(model, error["loc"]))
    }
    for error in errors:
        if error["type"] == "missing" and error["loc"] in meant:
            continue  # its misspelt key is reported, and says the right name
        place = _place(error["loc"])
        if error["type"] == "extra_forbidden":
            report.problem(place, "unknown_key", _unknown(model, error["loc"]), at_key=True)
        elif error["loc"][-1:] == ("[key]",):
            named = (*place, "[key]")  # the key of a list's item is the value of its name
            listed = named in report.origins
            report.problem(named if listed else place, *_words(model, error), at_key=not listed)
        elif error["type"] == "union_tag_not_found":
            _untold(report, place, error)
        else:
            report.problem(place, *_words(model, error))


def _place(location: Place) -> Place:
    return tuple(
        part
        for part in location
        if not (isinstance(part, str) and (part.startswith("kind:") or part == "[key]"))
    )


_TAGGED: Final[Mapping[str, tuple[str, tuple[str, ...], str]]] = {
    "step_kind()": ("kind", STEP_KINDS, "a step"),
    "scheme_kind()": ("scheme", SCHEMES, "verify"),
    "policy_kind()": ("policy_type", ("governance", "treasury"), "a policy"),
}
"""Discriminator -> the key that it reads, what may stand there, and what it tells apart."""


def _untold(report: Report, place: Place, error: ErrorDetails) -> None:
    key, known, noun = _TAGGED[str(error["ctx"]["discriminator"]).strip("'")]
    given = error["input"]
    if not isinstance(given, dict):
        report.problem(place, "wrong_type", f"{noun} has to be a mapping, not {_kind(given)}")
    elif key not in given:
        # Which of the models is meant is open, so no key is unknown; a slip in this one is told.
        nearest = {name: did_you_mean(str(name), [key, "id", "name"]) for name in given}
        slip = next((name for name, hint in nearest.items() if f'"{key}"' in hint), None)
        meant = "" if slip is None else f" instead of {quoted(str(slip))}"
        report.problem(
            place, "missing_key", f"{noun} needs {_article(key)}{meant}: {_any_of(known)}"
        )
    else:
        report.problem((*place, key), "bad_value", _not_one_of(given[key], known))


def _any_of(known: tuple[str, ...]) -> str:
    return " | ".join(known)


def _not_one_of(given: object, known: tuple[str, ...]) -> str:
    hint = did_you_mean(given, known) if isinstance(given, str) else ""
    return f"{shown(given)} is not known here{hint}; there is {_any_of(known)}"


_UNCOUNTED: Final = frozenset({"rules", "splits", "approvals", "secret_refs", "principals"})


def _article(key: str) -> str:
    if key in ("with", "from", "to", "value"):
        return f'"{key}"'
    if key in _UNCOUNTED:
        return key
    return f"an {key}" if key[0] in "aeio" else f"a {key}"


_EXPECTED: Final[Mapping[str, str]] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _kind(value: JSON) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
    return "a mapping"


def _words(model: Any, error: ErrorDetails) -> tuple[str, str]:  # noqa: ANN401 - as complain
    kind, location, context = error["type"], error["loc"], error.get("ctx", {})
    code, message = (kind if kind in OWN_CODES else "bad_value"), error["msg"]
    if kind == "missing":
        code = "missing_key"
        message = f"{_noun(model, location[:-1])} needs {_article(str(location[-1]))}"
    elif kind in _EXPECTED:
        code = "wrong_type"
        message = f"this has to be {_EXPECTED[kind]}, not {_kind(error['input'])}"
        if kind == "string_type" and isinstance(error["input"], (int, float, bool)):
            message += "; put it in quotes"
    elif kind == "literal_error":
        message = _not_one_of(
            error["input"], tuple(re.findall(r"'([^']*)'", str(context["expected"])))
        )
    elif kind == "string_pattern_mismatch":
        message = f"{shown(error['input'])} has not the form {context['pattern']}"
    elif kind in ("too_short", "string_too_short"):
        message = "this is empty: give it a value or remove it"
    elif kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        message = f"this has to be {words} {context[name]}"
    return code, message


_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
}

OWN_CODES: Final = frozenset(
    {
        "bad_cron",
        "bad_duration",
        "bad_id",
        "bad_secret_ref",
        "bad_size",
        "bad_split",
        "bad_timezone",
        "conflicting_keys",
        "missing_key",
        "wrong_type",
    }
)
"""Types of errors that the models raise themselves: they are codes already."""


# ── What the model has at a place ────────────────────────────────────────────────────────────────


def _noun(model: Any, location: Place) -> str:  # noqa: ANN401 - as complain
    part = _part(model, location)
    return part.noun if part is not None else "this"


def _near(model: Any, location: Place) -> str | None:  # noqa: ANN401 - as complain
    found = re.search(r'"(.*)"', did_you_mean(str(location[-1]), _keys(model, location[:-1])))
    return found[1] if found else None


def _unknown(model: Any, location: Place) -> str:  # noqa: ANN401 - as complain
    name = str(location[-1])
    keys = _keys(model, location[:-1])
    hint = did_you_mean(name, keys)
    listed = "" if hint else f"; there is {', '.join(keys)}"
    return f"{_noun(model, location[:-1])} has no key {shown(name)}{hint}{listed}"


def _keys(model: Any, location: Place) -> list[str]:  # noqa: ANN401 - as complain
    part = _part(model, location)
    fields = part.model_fields if part is not None else {}
    return [info.alias or name for name, info in fields.items()]


def _part(model: Any, location: Place) -> type[Part] | None:  # noqa: ANN401 - as complain
    """The model of the mapping at a location, found along its fields."""
    here: list[tuple[Any, str | None]] = _branches(model, None)
    for step in location:
        if isinstance(step, str) and step.startswith("kind:"):
            here = [(kind, None) for kind, tag in here if tag == step]
        else:
            here = [found for kind, _ in here for found in _below(kind, step)]
    return next(
        (kind for kind, _ in here if isinstance(kind, type) and issubclass(kind, Part)), None
    )


def _branches(annotation: Any, tag: str | None) -> list[tuple[Any, str | None]]:  # noqa: ANN401 - any annotation
    """The plain types of an annotation, each with its tag."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extras = get_args(annotation)
        named = next((extra.tag for extra in extras if isinstance(extra, Tag)), tag)
        return _branches(inner, named)
    if origin in (Union, types.UnionType):
        return [found for each in get_args(annotation) for found in _branches(each, tag)]
    return [(annotation, tag)]


def _below(kind: Any, step: str | int) -> list[tuple[Any, str | None]]:  # noqa: ANN401 - any annotation
    arguments = get_args(kind)
    if get_origin(kind) is list and isinstance(step, int):
        return _branches(arguments[0], None)
    if get_origin(kind) is dict:
        return _branches(arguments[1], None)
    if isinstance(kind, type) and issubclass(kind, Part):
        for name, info in kind.model_fields.items():
            if step == (info.alias or name):
                return _branches(info.annotation, None)
    return []
