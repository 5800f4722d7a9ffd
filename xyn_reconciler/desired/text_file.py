"""Files whose document is their text: prompts, a pack's own files, known hosts, and the like."""

from collections.abc import Iterator

from xyn_reconciler.model.errors import Problem
from xyn_reconciler.model.token_patterns import find_token


def read_text(path: str, data: bytes, most: int) -> tuple[str | None, list[Problem]]:
    """Give the text, or None with the problem that hides it: too large, or not UTF-8."""
    if len(data) > most:
        message = f"a file here has at most {most:,} bytes"
        return None, [Problem(path, 1, 1, "too_large", message)]
    try:
        text = data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        at = position(before, len(before))
        return None, [Problem(path, *at, "not_utf8", "save the file as UTF-8")]
    nothing = text.find("\0")
    if nothing >= 0:
        at = position(text, nothing)
        return None, [Problem(path, *at, "control_character", "remove the character U+0000")]
    return text, []


def tokens_in(path: str, text: str) -> Iterator[Problem]:
    """Report a credential that stands in a text."""
    if (found := find_token(text)) is not None:
        name, offset = found
        message = f"this looks like {name}: take it out, and revoke it"
        yield Problem(path, *position(text, offset), "literal_secret", message)


def position(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of a character."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
