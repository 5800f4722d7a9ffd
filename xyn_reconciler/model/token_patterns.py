"""Shapes of well-known credentials, as data.

``desired.load`` refuses a document that holds one, ``model.redaction`` replaces
them in everything that is kept. Each pattern is ASCII, needs no flags and has
no numbered groups, so that many can be joined into one expression, over text or
over bytes. A pattern asks for enough of the shape that prose does not match:
``disk-usage`` is no key. The examples are made up.
"""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class TokenPattern:
    """``name`` completes "this looks like ..."; ``regex`` is the source of an expression."""

    name: str
    regex: str
    example: str


def _example(prefix: str, rest: str) -> str:
    """Join in two parts, so that scanners of source code do not take the example for a find."""
    return prefix + rest


_LETTERS: Final = "0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T"
_EDGE: Final = r"(?<![A-Za-z0-9_-])"
_HAS_DIGIT: Final = r"(?=[A-Za-z._~+/=-]*[0-9])"

TOKEN_PATTERNS: Final[tuple[TokenPattern, ...]] = (
    TokenPattern(
        "a GitHub token",
        _EDGE + r"gh[pousr]_[A-Za-z0-9]{36,}",
        _example("gh" + "p_", _LETTERS),
    ),
    TokenPattern(
        "a GitHub token",
        _EDGE + r"github_pat_[A-Za-z0-9_]{22,}",
        _example("github" + "_pat_", _LETTERS),
    ),
    TokenPattern(
        "a GitLab token", _EDGE + r"glpat-[A-Za-z0-9_.-]{20,}", _example("glpat" + "-", _LETTERS)
    ),
    TokenPattern(
        "a Slack token",
        _EDGE + r"xox[abeprs]-[A-Za-z0-9-]{10,}",
        _example("xox" + "b-", "1234567890-" + _LETTERS),
    ),
    TokenPattern(
        "an AWS access key",
        _EDGE + r"(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])",
        _example("AK" + "IA", "0123456789ABCDEF"),
    ),
    TokenPattern(
        "an Anthropic or OpenAI key",
        _EDGE + r"sk-" + _HAS_DIGIT + r"[A-Za-z0-9_-]{20,}",
        _example("sk" + "-ant-", _LETTERS),
    ),
    TokenPattern(
        "a Google key",
        _EDGE + r"AIza[0-9A-Za-z_-]{35}",
        _example("AI" + "za", _LETTERS[:35]),
    ),
    TokenPattern(
        "a Stripe key",
        _EDGE + r"(?:[rs]k_(?:live|test)|whsec)_[A-Za-z0-9+/=]{16,}",
        _example("sk" + "_live_", _LETTERS),
    ),
    TokenPattern("an npm token", _EDGE + r"npm_[A-Za-z0-9]{36,}", _example("np" + "m_", _LETTERS)),
    TokenPattern(
        "a PyPI token",
        _EDGE + r"pypi-AgE[A-Za-z0-9_-]{30,}",
        _example("py" + "pi-AgE", _LETTERS),
    ),
    TokenPattern(
        "an age secret key",
        r"AGE-SECRET-KEY-1[0-9A-Z]{20,}",
        _example("AGE-SECRET" + "-KEY-1", _LETTERS.upper()),
    ),
    TokenPattern(
        "a JSON web token",
        _EDGE + r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
        _example("ey" + "J0eXAiOiJKV1Qi", ".eyJzdWIiOiIxMjM0In0." + _LETTERS),
    ),
    TokenPattern(
        "a private key",
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
        r"(?:(?:[^-]|-(?!----))*-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----)?",
        "-----BEGIN " + "PRIVATE KEY-----\nMIIB\n-----END " + "PRIVATE KEY-----",
    ),
    TokenPattern(
        "a bearer token",
        r"(?<![A-Za-z0-9])[Bb][Ee][Aa][Rr][Ee][Rr] +" + _HAS_DIGIT + r"[A-Za-z0-9._~+/=-]{16,}",
        _example("Bearer" + " ", _LETTERS),
    ),
    TokenPattern(
        "a password in a URL",
        r"(?<=://)[^\s/:@?#{}<>$\[\]\"']*:[^\s/@{}<>$\[\]\"']{3,}(?=@)",
        "https://ada:" + "open-sesame@example.net/",
    ),
)
"""Every known shape; the first that matches names the find."""

ANY_TOKEN: Final = re.compile("|".join(f"(?:{pattern.regex})" for pattern in TOKEN_PATTERNS))
"""One expression for "is there any?", which is nearly always no."""


def find_token(text: str) -> tuple[str, int] | None:
    """Name the first credential shape in a text and where it begins; the value is never given."""
    found = ANY_TOKEN.search(text)
    if found is None:
        return None
    at = found.start()
    return next(p.name for p in TOKEN_PATTERNS if re.compile(p.regex).match(text, at)), at
