"""The plot of calls against lag, as SVG that needs nothing but a reader."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from tests.bench.replay import Figures

_WIDTH, _HEIGHT, _MARGIN, _GAP = 470, 330, 58, 40
_FIXED, _DOUBLING, _PEERS, _OURS = "#4878a8", "#b8860b", "#2e7d32", "#c0392b"
_TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


@dataclass(frozen=True, slots=True)
class Panel:
    """Two figures of each policy, both on logarithmic axes: down and left is better."""

    title: str
    x_label: str
    y_label: str
    x: Callable[[Figures], float]
    y: Callable[[Figures], float]


PANELS = (
    Panel(
        "On average",
        "calls to ECS for each rollout, on average",
        "lag in seconds, median",
        lambda each: each.calls,
        lambda each: each.median_lag,
    ),
    Panel(
        "At worst",
        "calls to ECS for one rollout, at most",
        "lag in per cent of the rollout, at worst",
        lambda each: each.most_calls,
        lambda each: 100 * each.worst_share,
    ),
)


def draw(ours: Sequence[Figures], peers: Sequence[Figures], others: Sequence[Figures]) -> str:
    """Draw this deployer's figures beside those of its peers, and of fixed and doubling intervals."""
    width, height = 2 * _WIDTH + _GAP, _HEIGHT + 46
    panels = [
        f'<g transform="translate({index * (_WIDTH + _GAP)},30)">{_panel(panel, ours, peers, others)}</g>'
        for index, panel in enumerate(PANELS)
    ]
    legend = "".join(
        f'<circle cx="{_MARGIN + index * 150}" cy="14" r="4" fill="{color}"/>'
        f'<text x="{_MARGIN + 10 + index * 150}" y="18">{name}</text>'
        for index, (name, color) in enumerate(
            [
                ("fixed intervals", _FIXED),
                ("doubling ones", _DOUBLING),
                ("other deployers", _PEERS),
                ("this one", _OURS),
            ]
        )
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="#fff"/>{legend}{"".join(panels)}</svg>\n'
    )


def _panel(panel: Panel, ours: Sequence[Figures], peers: Sequence[Figures], others: Sequence[Figures]) -> str:
    everyone = [*ours, *peers, *others]
    across = _Axis([panel.x(each) for each in everyone], _MARGIN, _WIDTH - 12)
    down = _Axis([panel.y(each) for each in everyone], _HEIGHT - 40, 16)
    grid = [
        f'<line x1="{across.at(tick):.1f}" x2="{across.at(tick):.1f}" y1="16" y2="{_HEIGHT - 40}" stroke="#e4e4e4"/>'
        f'<text x="{across.at(tick):.1f}" y="{_HEIGHT - 24}" text-anchor="middle">{tick}</text>'
        for tick in across.ticks
    ] + [
        f'<line x1="{_MARGIN}" x2="{_WIDTH - 12}" y1="{down.at(tick):.1f}" y2="{down.at(tick):.1f}" stroke="#e4e4e4"/>'
        f'<text x="{_MARGIN - 6}" y="{down.at(tick) + 4:.1f}" text-anchor="end">{tick}</text>'
        for tick in down.ticks
    ]
    fixed = [each for each in others if each.name.startswith("every")]
    line = " ".join(f"{across.at(panel.x(each)):.1f},{down.at(panel.y(each)):.1f}" for each in fixed)
    dots = [
        _dot(across.at(panel.x(each)), down.at(panel.y(each)), each.name, _FIXED if each in fixed else _DOUBLING, 3.5)
        for each in others
    ]
    named = [
        _label(across.at(panel.x(each)), down.at(panel.y(each)), each.name, color)
        for color, figures in ((_PEERS, peers), (_OURS, ours))
        for each in figures
    ]
    return (
        f'<text x="{_MARGIN}" y="8" font-weight="bold">{panel.title}</text>{"".join(grid)}'
        f'<polyline points="{line}" fill="none" stroke="{_FIXED}" stroke-opacity=".5"/>{"".join(dots)}{"".join(named)}'
        f'<text x="{(_MARGIN + _WIDTH) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{panel.x_label}</text>'
        f'<text transform="translate(14,{_HEIGHT / 2}) rotate(-90)" text-anchor="middle">{panel.y_label}</text>'
    )


def _dot(x: float, y: float, name: str, color: str, radius: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{color}"><title>{escape(name)}</title></circle>'


def _label(x: float, y: float, name: str, color: str) -> str:
    label = name.rpartition(", ")[2]
    anchor, beside = ("end", x - 8) if x > _WIDTH / 2 else ("start", x + 8)
    height = y + 15
    return _dot(x, y, name, color, 5.5) + (
        f'<text x="{beside:.1f}" y="{height:.1f}" text-anchor="{anchor}" fill="{color}">{escape(label)}</text>'
    )


class _Axis:
    """A logarithmic axis from one place to another."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self._least, self._most = math.log(min(values) / 1.3), math.log(max(values) * 1.2)
        self._start, self._end = start, end
        self.ticks = [tick for tick in _TICKS if self._least <= math.log(tick) <= self._most]

    def at(self, value: float) -> float:
        return self._start + (self._end - self._start) * (math.log(value) - self._least) / (self._most - self._least)
