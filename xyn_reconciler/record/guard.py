"""The last guard before Git (promise P6): no secret that was stored by mistake is recorded."""

import json
from collections.abc import Iterator

from xyn_reconciler.model.redaction import Redactor


def guarded(redactor: Redactor, content: bytes) -> bytes:
    """Give a segment without known secrets; every line stays a JSON object.

    Nearly always there is nothing: rows are redacted when they are stored. Where
    there is something, the lines that hold it are redacted value by value, so
    that nothing is replaced from one value into the next.
    """
    if redactor.bytes(content) == content:
        return content
    return b"".join(_lines(redactor, content))


def _lines(redactor: Redactor, content: bytes) -> Iterator[bytes]:
    for line in content.removesuffix(b"\n").split(b"\n"):
        if redactor.bytes(line) == line:
            yield line + b"\n"
        else:
            clean = redactor.value(json.loads(line))
            yield json.dumps(clean, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
