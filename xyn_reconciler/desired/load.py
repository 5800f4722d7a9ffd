"""Bytes of one file in, its normalised document and every problem in it out.

Push validation, the reconciler and ``xynctl validate`` rely on :func:`load`. It
sees one file; what needs others is :mod:`xyn_reconciler.desired.validate`'s. It
never raises, whatever the bytes are. The trap: the result depends on path and
bytes alone, because it is cached by them; node and catalogue come in later.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from xyn_reconciler.desired.collect import ID_KEYS, references
from xyn_reconciler.desired.complaints import Report, complain
from xyn_reconciler.desired.forms import Normal, normal_blueprint
from xyn_reconciler.desired.kind_checks import CHECKS, check_secrets
from xyn_reconciler.desired.known_hosts import load_known_hosts
from xyn_reconciler.desired.layout import in_pack, kind_of, stray
from xyn_reconciler.desired.loaded import Kind, Loaded, Reference
from xyn_reconciler.desired.pack_document import check_place
from xyn_reconciler.desired.pack_files import load_pack_file
from xyn_reconciler.desired.prompt import load_prompt
from xyn_reconciler.desired.secret_file import load_secret
from xyn_reconciler.desired.source import JSON, Source, parse
from xyn_reconciler.model.blueprint import Blueprint
from xyn_reconciler.model.errors import Problem
from xyn_reconciler.model.node import Node
from xyn_reconciler.model.pack import Pack, PackSettings
from xyn_reconciler.model.policy import Policy
from xyn_reconciler.model.prices import Prices
from xyn_reconciler.model.principals import Principals
from xyn_reconciler.model.source import Source as WebhookSource
from xyn_reconciler.model.test_file import TestFile

__all__ = ["LoadCache", "Loaded", "Reference", "kind_of", "load"]

MODELS: Final[Mapping[Kind, Any]] = {
    "blueprint": Blueprint,
    "node": Node,
    "pack": Pack,
    "pack_settings": PackSettings,
    "policy": Policy,
    "prices": Prices,
    "principals": Principals,
    "source": WebhookSource,
    "test": TestFile,
}
"""The model, or union of models, of each kind of document."""

_TEXTS: Final[Mapping[Kind, Callable[[str, str, bytes], Loaded]]] = {
    "prompt": load_prompt,
    "pack_file": load_pack_file,
    "known_hosts": load_known_hosts,
    "secret": load_secret,
}
"""Files whose document is their text."""

_ADAPTERS: Final[Mapping[Kind, TypeAdapter[Any]]] = {
    kind: TypeAdapter(model) for kind, model in MODELS.items()
}


def load(path: str, blob_id: str, data: bytes) -> Loaded:
    """Read, normalise and check one file. Never raises."""
    kind = kind_of(path)
    if kind == "other":
        why = stray(path)
        remarks = () if why is None else (Problem(path, 1, 1, "stray_file", why),)
        return Loaded(path, blob_id, kind, path, None, remarks=remarks)
    if kind in _TEXTS:
        return _TEXTS[kind](path, blob_id, data)
    source, problems = parse(path, data)
    if source is None:
        return Loaded(path, blob_id, kind, path, None, tuple(problems))
    return _document(kind, blob_id, source, problems)


def _document(kind: Kind, blob_id: str, source: Source, problems: list[Problem]) -> Loaded:
    written = source.value
    normal = Normal({})
    if isinstance(written, dict):
        normal = normal_blueprint(written) if kind == "blueprint" else Normal(dict(written))
    report = Report(source, normal.origins, list(problems))
    _check(report, kind, written, normal)
    path, remarks = source.path, tuple(sorted(report.remarks))
    if report.problems:
        return Loaded(path, blob_id, kind, path, None, report.all_problems(), remarks)
    document = normal.document
    found = tuple(references(kind, report, document))
    identity = _identity(kind, path, document)
    return Loaded(path, blob_id, kind, identity, document, (), remarks, found)


def _check(report: Report, kind: Kind, written: JSON, normal: Normal) -> None:
    for place, code, message in normal.clashes:
        report.problem(place, code, message, at_key=code != "duplicate_id")
    if not isinstance(written, dict):
        complain(report, MODELS[kind], _errors(kind, written))
    else:
        complain(report, MODELS[kind], _errors(kind, normal.document))
        CHECKS[kind](report, normal.document)
        check_place(report, kind, normal.document)
        check_secrets(report, kind, written, normal.document)


def _errors(kind: Kind, document: JSON) -> list[ErrorDetails]:
    try:
        _ADAPTERS[kind].validate_python(document)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _identity(kind: Kind, path: str, document: Mapping[str, Any]) -> str:
    if kind in ("principals", "prices"):
        return kind
    if kind == "test":
        return path
    if kind == "pack_settings":
        return in_pack(path)[0] or path
    return str(document[ID_KEYS.get(kind, "id")])


class LoadCache:
    """The last files loaded, by path and blob: what a push validated is not parsed again to apply.

    Not safe between threads; each loop has its own.
    """

    def __init__(self, size: int = 4096) -> None:
        self.size = size
        self._kept: OrderedDict[tuple[str, str], Loaded] = OrderedDict()

    def load(self, path: str, blob_id: str, read: Callable[[], bytes]) -> Loaded:
        """Give the file loaded; ``read`` is called only where it is not known yet."""
        key = (path, blob_id)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = load(path, blob_id, read())
            if len(self._kept) > self.size:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return found
