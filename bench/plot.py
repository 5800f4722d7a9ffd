"""Draw the rows that have a bar: how far each is on the right side of it. Pure; SVG.

One dot a row on a logarithmic axis, where 1 is the bar itself: to the right of
it the bar holds. Colours hold on light and on dark paper.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from bench.result import Row, margin

LEAST: Final = 0.05
MOST: Final = 50.0
_TICKS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)

_WIDTH: Final = 960
_LABELS: Final = 440
_RIGHT: Final = 90
_TOP: Final = 34
_LINE: Final = 24

_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#6e7781}"
    ".grid{stroke:#8c959f;stroke-opacity:.3}.bar{stroke:#6e7781;stroke-width:2}"
    ".yes{fill:#2da44e;stroke:#2da44e}.no{fill:#cf222e;stroke:#cf222e}.stem{stroke-width:3}"
)


def plot(rows: Sequence[Row]) -> str:
    """Give an SVG document."""
    shown = [row for row in rows if "bar" in row]
    height = _TOP + _LINE * len(shown) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        "<title>How far each figure is on the right side of its bar</title>",
        f"<style>{_STYLE}</style>",
        *(_tick(value, height) for value in _TICKS),
        *(_row(number, row) for number, row in enumerate(shown)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _x(value: float) -> float:
    share = math.log(min(max(value, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return round(_LABELS + share * (_WIDTH - _LABELS - _RIGHT), 1)


def _tick(value: float, height: int) -> str:
    x, is_bar = _x(value), value == 1
    label = "bar" if is_bar else f"{value:g} x"
    return (
        f'<line class="{"bar" if is_bar else "grid"}" x1="{x}" x2="{x}" y1="{_TOP - 8}"'
        f' y2="{height - 8}"/><text x="{x}" y="18" text-anchor="middle">{label}</text>'
    )


def _row(number: int, row: Row) -> str:
    far = margin(row)
    y, x, kind = _TOP + _LINE * number + 8, _x(far), "yes" if row["holds"] else "no"
    figure = f"{row['value']:g} {row['unit']}"
    return (
        f"<g><title>{escape(row['name'])}: {escape(figure)}, asked {escape(row['bar'])}</title>"
        f'<text x="{_LABELS - 14}" y="{y + 4}" text-anchor="end">{escape(row["name"])}</text>'
        f'<line class="{kind} stem" x1="{_x(1.0)}" x2="{x}" y1="{y}" y2="{y}"/>'
        f'<circle class="{kind}" cx="{x}" cy="{y}" r="5"/>'
        f'<text x="{_WIDTH - 4}" y="{y + 4}" text-anchor="end">{_words(far)}</text></g>'
    )


def _words(far: float) -> str:
    if far > MOST:
        return f"> {MOST:g} x"
    return f"{far:.2f} x"
