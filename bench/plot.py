"""Two small plots as SVG, drawn by hand: lines on two logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 50, 55
COLOURS = {
    "seed": "#c0392b",
    "plain": "#2471a3",
    "batch": "#1e8449",
    "start": "#c0392b",
    "join": "#2471a3",
    "search": "#1e8449",
    "message": "#222222",
    "trim": "#b9770e",
}
STYLE = "font-family:sans-serif;font-size:13px;fill:#222"


@dataclass(frozen=True)
class Line:
    """One line: its name beside its end, its colour's name, its points, and whether it is dashed"""

    name: str
    design: str
    points: Sequence[tuple[float, float]]
    is_dashed: bool = False


def decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten between which the values lie."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def tick(power: int) -> str:
    """Return a power of ten as people write it."""
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:.{-power}f}"


def draw(title: str, x_name: str, y_name: str, lines: Sequence[Line]) -> str:
    """Return the plot as an SVG document."""
    xs = [x for line in lines for x, _y in line.points]
    ys = [y for line in lines for _x, y in line.points]
    x_low, x_high = math.log10(min(xs)), math.log10(max(xs))
    y_low, y_high = decades(ys)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - x_low) / ((x_high - x_low) or 1)
        up = (math.log10(y) - y_low) / (y_high - y_low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (
            HEIGHT - TOP - BOTTOM
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(LEFT, 28, title, "font-weight:bold"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_name, "text-anchor:middle"),
        _text(LEFT, TOP - 6, y_name, "font-size:12px;fill:#555"),
    ]
    for power in range(y_low, y_high + 1):
        x, y = place(10**x_low, 10.0**power)
        parts.append(f'<path d="M{x} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(_text(x - 8, y + 4, tick(power), "text-anchor:end"))
    for value in sorted(set(xs)):
        x, y = place(value, 10.0**y_low)
        parts.append(_text(x, y + 20, f"{value:,.0f}", "text-anchor:middle"))
    parts += [_curve(line, [place(x, y) for x, y in line.points]) for line in lines]
    parts += _names(lines, [place(*line.points[-1]) for line in lines])
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" style="{STYLE};{style}">{text}</text>'


def _curve(line: Line, places: Sequence[tuple[float, float]]) -> str:
    colour = COLOURS[line.design]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dashes = ' stroke-dasharray="5 4"' if line.is_dashed else ""
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in places)
    return (
        f'<g fill="{colour}"><path d="{path}" fill="none" stroke="{colour}"'
        f' stroke-width="2"{dashes}/>{dots}</g>'
    )


def _names(lines: Sequence[Line], ends: Sequence[tuple[float, float]]) -> list[str]:
    """Return each line's name beside its end, moved down where two would touch."""
    parts, lowest = [], 0.0
    for line, (x, y) in sorted(zip(lines, ends, strict=True), key=lambda pair: pair[1][1]):
        lowest = max(y + 4, lowest + 16)
        parts.append(_text(x + 10, lowest, line.name, f"fill:{COLOURS[line.design]}"))
    return parts
