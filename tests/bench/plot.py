"""The medians as a picture; needs matplotlib (the extra "bench")."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.bench.contender import Contender
from tests.bench.jobs import JOBS
from tests.bench.measure import Measured

_COLOURS = {"loop": "#9aa0a6", "passthrough": "#5f6b7a", "quorum": "#d98c3f", "async": "#3f8fd9", "sync": "#2b5f9e"}


def _colour(name: str) -> str:
    return _COLOURS.get(name.rstrip("0123456789"), "#444444")


def draw(measured: Measured, contenders: Sequence[Contender], path: Path) -> bool:
    """Write a PNG to ``path``; return False if matplotlib is missing."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(12, 7.5), layout="constrained")
    shown = [contender for contender in contenders if contender.name in measured.samples]
    titles = [contender.title for contender in shown][::-1]
    colours = [_colour(contender.name) for contender in shown][::-1]
    for axis, job in zip(axes.flat, JOBS, strict=True):
        values = [measured.median(contender.name, job.name) or 0.0 for contender in shown][::-1]
        bars = axis.barh(titles, values, color=colours)
        axis.bar_label(bars, labels=[f"{value:,.0f}" for value in values], padding=3, fontsize=8)
        axis.set_title(f"{job.title} ({job.unit})", fontsize=10)
        axis.margins(x=0.15)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return True
