"""Line charts as inline SVG: axes with round numbers, raw values faint behind a smoothed curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 520, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 12, 10, 34
_COLOURS = 6
_MOST = 600  # points drawn per line: more than the pixels need


@dataclass(frozen=True)
class Series:
    """One line: (step, value) points by rising step; values that are not finite are gaps."""

    name: str
    points: Sequence[tuple[float, float]]


def line_chart(
    title: str, series: Sequence[Series], *, smooth: int = 0, log: bool = False, percent: bool = False, note: str = ""
) -> str:
    """A `<figure>`.

    smooth: an exponential mean over about so many points is drawn over the raw values, as the caption says.
    log: logarithmic y axis (values must be positive). percent: y values are shares from 0 to 1.
    """
    series = [Series(s.name, [(x, y) for x, y in s.points if math.isfinite(y) and (y > 0 or not log)]) for s in series]
    series = [s for s in series if s.points]
    if not series:
        return ""
    smooth = smooth if max(len(s.points) for s in series) > 2 * smooth else 0
    drawn = [(s.points, smoothed(s.points, smooth)) if smooth else ((), s.points) for s in series]
    xs = [x for s in series for x, _ in s.points]
    frame = _Frame(xs, _extent([y for s in series for _, y in s.points], log, percent), log=log, percent=percent)
    body = [frame.axes()]
    for i, (raw, curve) in enumerate(drawn):
        colour = f"c{i % _COLOURS}"
        if raw:
            body.append(f'<path class="raw {colour}" d="{frame.path(raw)}"/>')
        body.append(_curve(frame, curve, i))
    notes = [f"Bold: exponential mean over about {smooth} points; faint: as logged."] if smooth else []
    notes += [note] if note else []
    spoken = escape(_spoken(title, series, percent), True)
    return (
        f'<figure><div class="title">{escape(title)}</div>{_legend(series)}'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{spoken}">'
        f"{''.join(body)}</svg>{f'<figcaption>{escape(chr(32).join(notes))}</figcaption>' if notes else ''}</figure>"
    )


def smoothed(points: Sequence[tuple[float, float]], span: int) -> list[tuple[float, float]]:
    """Exponential mean with weight 2 / (span + 1) for each new point, corrected for its start."""
    keep, total, weight, out = 1 - 2 / (span + 1), 0.0, 0.0, []
    for x, y in points:
        total, weight = keep * total + (1 - keep) * y, keep * weight + (1 - keep)
        out.append((x, total / weight))
    return out


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten) that cover low..high."""
    if high <= low:
        return [low]
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _curve(frame: _Frame, points: Sequence[tuple[float, float]], i: int) -> str:
    path = f'<path class="curve c{i % _COLOURS}" d="{frame.path(points)}"/>'
    if len(points) > 30:
        return path
    dots = [
        f'<circle class="f{i % _COLOURS}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3">'
        f"<title>step {x:g}: {frame.label(y)}</title></circle>"
        for x, y in points
    ]
    return path + "".join(dots)


def _legend(series: Sequence[Series]) -> str:
    if len(series) < 2:
        return ""
    items = [f'<span><i class="f{i % _COLOURS}"></i>{escape(s.name)}</span>' for i, s in enumerate(series)]
    return f'<div class="legend">{"".join(items)}</div>'


def _spoken(title: str, series: Sequence[Series], percent: bool) -> str:
    ends = [f"{s.name} from {_number(s.points[0][1], percent)} to {_number(s.points[-1][1], percent)}" for s in series]
    return f"{title}: {'; '.join(ends)}"


def _extent(values: Sequence[float], log: bool, percent: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if percent:
        return 0.0, min(1.0, high * 1.08) or 1.0
    if log:
        return low / 1.2, high * 1.2
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return (0.0 if 0 <= low < 0.35 * high else low - margin), high + margin


class _Frame:
    """Data to pixels, and the axes."""

    def __init__(self, xs: Sequence[float], extent: tuple[float, float], *, log: bool, percent: bool):
        self.x0, self.x1 = min(xs), max(xs)
        if self.x0 == self.x1:
            self.x0, self.x1 = self.x0 - 0.5, self.x1 + 0.5
        self.y0, self.y1 = (math.log10(v) for v in extent) if log else extent
        self.log, self.percent = log, percent

    def x(self, value: float) -> float:
        return _LEFT + (value - self.x0) / (self.x1 - self.x0) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        value = math.log10(value) if self.log else value
        return _HEIGHT - _BOTTOM - (value - self.y0) / (self.y1 - self.y0) * (_HEIGHT - _TOP - _BOTTOM)

    def label(self, value: float) -> str:
        return _number(value, self.percent)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        every = -(-len(points) // _MOST)
        kept = list(points[::every])
        if kept[-1] != points[-1]:
            kept.append(points[-1])
        return "M" + "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in kept)

    def axes(self) -> str:
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        parts = []
        marks = self._y_ticks()
        tiny = not self.percent and max(abs(v) for v in marks or [1]) < 0.01
        for value in marks:
            y = self.y(value)
            label = _power(value) if tiny else self.label(value)
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
        parts.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
        for value in ticks(self.x0, self.x1, 6):
            if abs(value - round(value)) > 1e-6:
                continue
            parts.append(f'<text x="{self.x(value):.1f}" y="{bottom + 15}" text-anchor="middle">{_step(value)}</text>')
        parts.append(f'<text x="{right}" y="{_HEIGHT - 3}" text-anchor="end">step</text>')
        return "".join(parts)

    def _y_ticks(self) -> list[float]:
        if not self.log:
            return ticks(self.y0, self.y1)
        marks = [m * 10.0**p for p in range(math.floor(self.y0), math.ceil(self.y1) + 1) for m in (1, 2, 5)]
        inside = [m for m in marks if self.y0 <= math.log10(m) <= self.y1]
        while len(inside) > 7:
            inside = inside[::3]
        return inside


def _step(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"


def _power(value: float) -> str:
    """`2e-3`, as learning rates are written."""
    digits, _, power = f"{value:.1e}".partition("e")
    return "0" if value == 0 else f"{digits.removesuffix('.0')}e{int(power)}"


def _number(value: float, percent: bool) -> str:
    if percent:
        return f"{100 * value:.3g} %"
    return _power(value) if 0 < abs(value) < 1e-3 else f"{value:.4g}"
