"""The look of the figures: axes of a fixed size, a legend below them, names that fit, and no more points than can be seen.

matplotlib is imported when the first one is drawn. All sizes are in inches.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.evaluation.figures.context import FigureContext

if TYPE_CHECKING:
    from matplotlib import figure as mpl
    from matplotlib.axes import Axes

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # of candidates (Okabe and Ito 2008)
DASHES: tuple[tuple[float, ...], ...] = ((1, 0), (6, 2), (6, 2, 1.5, 2), (2.5, 1.5), (9, 2, 2, 2, 2, 2))  # and gaps
MARKERS = ("", "o")  # of the first candidates, one for each of DASHES, and of the others
MAX_CANDIDATES = len(MARKERS) * len(DASHES)  # in one figure
GREY = "#767676"  # of what needs no model
INK, FAINT = "#333333", "#e4e4e4"
LARGE, TEXT, SMALL = 12, 10, 9  # sizes of letters in points
LEFT, RIGHT, TOP, BOTTOM, GAP = 0.8, 0.25, 0.5, 0.65, 0.8  # around the axes, and between several
HANDLE, ROW = 0.5, 0.17  # of a legend: what stands before a name, and a line's height
NAME = 2.9  # of a legend's name, wherever it stands
POINTS = 400  # along each axis, that a curve's points are told apart by


@contextmanager
def stable_rendering() -> Iterator[None]:
    """No matplotlibrc of the user's changes the bytes of what is drawn and saved inside the block."""
    from matplotlib import rc_context, rcdefaults, rcParams

    with rc_context():
        rcdefaults()
        rcParams["text.parse_math"] = False  # a $ in a column's name starts no formula
        rcParams["svg.hashsalt"] = "pipeline"  # ids in an SVG are random without
        yield


def panels(
    title: str, labels: Sequence[tuple[str, str]], size: tuple[float, float] = (5.2, 3.4), left: float = LEFT
) -> "tuple[mpl.Figure, list[Axes]]":
    """Axes of this size for each pair of labels, of x and y, two in a row. left: the width of what stands on that side."""
    from matplotlib.figure import Figure

    columns = min(2, len(labels))
    rows = -(-len(labels) // columns)
    width, height = (n * length + (n - 1) * GAP for n, length in ((columns, size[0]), (rows, size[1])))
    total = (left + width + RIGHT, TOP + height + BOTTOM)
    figure = Figure(total)
    edges = left / total[0], BOTTOM / total[1], 1 - RIGHT / total[0], 1 - TOP / total[1]
    figure.subplots_adjust(*edges, wspace=GAP / size[0], hspace=GAP / size[1])
    found = list(figure.subplots(rows, columns, squeeze=False).flat)
    found[0].set_title(fitted(title, width, LARGE), loc="left", pad=14, size=LARGE, weight="bold", color=INK)
    for axes, (x, y) in zip(found, labels, strict=True):
        axes.set_xlabel(fitted(x, size[0]), color=INK, size=TEXT)
        axes.set_ylabel(fitted(y, size[1]), color=INK, size=TEXT)
        axes.grid(color=FAINT, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(color=INK, labelcolor=INK, labelsize=SMALL)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(INK)
    return figure, found


def with_legend(figure: "mpl.Figure") -> "mpl.Figure":
    """The figure, made higher by a legend below its axes of all that has a label, no wider than NAME, in the first ones."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    (width, height), area = figure.get_size_inches(), figure.subplotpars
    available_width = (area.right - area.left) * width
    widest = max(map(text_width, labels)) + HANDLE + 0.3
    columns = max(1, min(3, int(available_width / widest)))
    below = ROW * -(-len(handles) // columns) + 0.1
    figure.set_size_inches(width, height + below)
    bottom, top = ((edge * height + below) / (height + below) for edge in (area.bottom, area.top))
    figure.subplots_adjust(bottom=bottom, top=top)
    figure.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(area.left, 0.08 / (height + below)),
        ncols=columns,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        handlelength=HANDLE * 72 / SMALL - 0.6,
        handletextpad=0.6,
        labelspacing=0.35,
        columnspacing=1,
        fontsize=SMALL,
        labelcolor=INK,
    )
    return figure


def line_style(index: int) -> dict[str, Any]:
    """A line that no other candidate has, in colours and in print."""
    return {
        "color": PALETTE[index % len(PALETTE)],
        "linestyle": (0, DASHES[index % len(DASHES)]),
        "marker": MARKERS[index // len(DASHES)],
        "markevery": 0.12,
        "markersize": 4,
        "linewidth": 1.6,
    }


def thinned(x: Array, y: Array) -> NDArray[np.bool_]:
    """Which points (n,) of a curve to draw: without those that would fall onto the one before."""
    chosen = np.zeros(len(x), bool)
    for values in (x, y):
        known = values[np.isfinite(values)]
        span = float(np.ptp(known) if len(known) else 0) or 1
        chosen[1:] |= np.diff(np.round(values * (POINTS / span))) != 0
    chosen[[0, -1]] = True
    return chosen


def fitted(text: str, width: float, size: float = SMALL) -> str:
    """A text on one line that is no wider, if need be without its middle."""
    shown = text = legible(text)
    letters = len(text)
    while letters > 2 and (wide := text_width(shown, size)) > width:
        letters = max(2, min(letters - 1, int(letters * width / wide)))
        shown = f"{text[: (letters + 1) // 2]}…{text[-(letters // 2) :]}"
    return shown


def class_names(context: FigureContext) -> list[str]:
    """A legend's names of y = 0 and y = 1."""
    target = fitted(context.card.target, 1.2)
    return [f"{target} = {fitted(str(value), 1.2)}" for value in context.card.classes]


def legible(text: str) -> str:
    """A text with escapes, such as \\n, in place of what is no letter of the font."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    has = {letter: letter.isprintable() and font.get_char_index(ord(letter)) for letter in set(text)}
    return "".join(letter if has[letter] else letter.encode("unicode_escape").decode() for letter in text)


def text_width(text: str, size: float = SMALL) -> float:
    """How wide a text is."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    return float(text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0] / 72)
