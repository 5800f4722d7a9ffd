"""Patterns of RE2, which match in time linear in the text, whoever wrote them."""

from functools import lru_cache
from typing import Any, Final

MAX_PATTERN: Final = 1000
"""Characters of a pattern."""


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> Any:  # noqa: ANN401 - re2 has no public name for its patterns
    """Compile a pattern of RE2. Raises ``ValueError`` that says why it is none."""
    import re2  # type: ignore[import-untyped]  # noqa: PLC0415 - no types; 3 MiB that few need

    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
    options = re2.Options()
    options.max_mem = 1 << 16
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        why = error.args[0] if error.args else ""
        words = why.decode(errors="replace") if isinstance(why, bytes) else "it is not UTF-8"
        raise ValueError(f"this is no regular expression of RE2: {words}") from error
