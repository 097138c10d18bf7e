"""Every figure of the registry: when it applies, its bytes, and room for whatever names and numbers there are."""

import re
import subprocess
import sys
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import colors, rc_context, rcParams
from matplotlib import figure as mpl
from matplotlib.axes import Axes

from pipeline.arrays import Array
from pipeline.evaluation.figures import FIGURES, MAX_CANDIDATES, PALETTE, Figure, FigureContext, stable_rendering
from pipeline.files import write_figure
from tests.evaluation.context import coefficient, context

HOSTILE = ["$\\frac{a_{$<b>&\n\r\t\0\u202e職業🙂" + "W" * 300, "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 $x_1$"]
DOCUMENT = (FIGURES["data"], FIGURES["decision_boundary"])  # their legends stand among the points
COMPARING = [figure for figure in FIGURES.values() if figure.compares]


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    assert found
    return [text.get_text() for text in found.get_texts()]


def nothing_overlaps(drawn: mpl.Figure) -> bool:
    """Whether axes, with their titles and labels, and legend are each within the figure and clear of the others."""
    boxes = [box for artist in (*drawn.axes, *drawn.legends) if (box := artist.get_tightbbox())]
    axis = [each for axes in drawn.axes for each in (axes.xaxis, axes.yaxis)]
    ticks = [[label.get_window_extent() for label in each.get_ticklabels() if label.get_text()] for each in axis]
    pairs = [*combinations(boxes, 2), *(pair for labels in ticks for pair in pairwise(labels))]
    corners = [corner for box in boxes for corner in (box.min, box.max)]
    return not any(a.overlaps(b) for a, b in pairs) and all(drawn.bbox.contains(*corner) for corner in corners)


def degenerate(of: FigureContext) -> FigureContext:
    """With one point a curve, no recorded epoch, no known coefficient but a zero, and undefined metrics."""
    one = {name: {column: values[-1:] for column, values in curve.items()} for name, curve in of.curves.items()}
    undefined = dict.fromkeys(("roc_auc", "average_precision", "lift", "calibration_error"), np.nan)
    history, effects = {name: np.array([]) for name in of.history}, [coefficient("x", np.inf), coefficient("y", 0.0)]
    return replace(of, curves=one, metrics={**of.metrics, **undefined}, history=history, coefficients=effects)


def curve_of(line: Any) -> tuple[Array, Array]:
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


def candidates(count: int) -> list[FigureContext]:
    rng = np.random.default_rng(0)
    return [replace(context((rng.standard_normal(2), 0.0)), name=f"{i}{'x' * 30 * (i % 5)}") for i in range(count)]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_whatever_names_hold_is_text_in_its_place(figure: Figure) -> None:
    with stable_rendering():
        drawn = figure.draw(replace(context(features=HOSTILE, classes=HOSTILE, target=HOSTILE[0]), name=HOSTILE[0]))
        drawn.draw_without_rendering()
        assert figure in DOCUMENT or nothing_overlaps(drawn)


@pytest.mark.parametrize("name", ["decision_boundary", "calibration", "scores", "coefficients"])
@pytest.mark.parametrize("kind", ["png", "svg"])
def test_equal_bytes_whatever_the_user_has_set(name: str, kind: str, tmp_path: Path) -> None:
    for size in (10.0, 20.0):
        with rc_context({"font.size": size, "svg.hashsalt": str(size), "svg.fonttype": "none"}):
            with stable_rendering():
                write_figure(tmp_path / f"{size}.{kind}", FIGURES[name].draw(context(features=["a $x", "b_1$"])))
            assert rcParams["font.size"] == size
    content = (tmp_path / f"10.0.{kind}").read_bytes()
    assert content == (tmp_path / f"20.0.{kind}").read_bytes()
    assert not re.search(rb"dc:date|dc:creator|matplotlib\.org|Software", content)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("figure", COMPARING, ids=lambda figure: figure.name)
def test_ten_candidates_are_told_apart_and_uncovered(figure: Figure) -> None:
    """One of them with a single point and undefined numbers."""
    first, *others = candidates(MAX_CANDIDATES)
    with stable_rendering():
        drawn = figure.draw(degenerate(first), *others)
        drawn.draw_without_rendering()
        assert nothing_overlaps(drawn)
    shown: list[Any] = [line for line in drawn.axes[0].lines if str(line.get_label())[0].isdigit()]
    looks = {(line.get_color(), str(line._dash_pattern), line.get_marker()) for line in shown}
    assert len(shown) == len(looks) == MAX_CANDIDATES == 10
    assert len(drawn.legends[0].get_texts()) >= MAX_CANDIDATES


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["loss", "gain_lift", "scores", "coefficients"])
def test_one_point_and_numbers_that_are_undefined(name: str) -> None:
    with stable_rendering():
        drawn = FIGURES[name].draw(degenerate(context()))
        drawn.draw_without_rendering()
        assert nothing_overlaps(drawn)
    if name == "gain_lift":
        assert {line.get_marker() for axes in drawn.axes for line in axes.lines if line.get_color() == PALETTE[0]} == {"o"}


def test_which_figures_apply() -> None:
    def applicable(**changes: object) -> set[str]:
        of = replace(context(), **changes)  # type: ignore[arg-type]
        return {name for name, figure in FIGURES.items() if figure.applies(of)}

    assert applicable() == set(FIGURES)
    assert set(FIGURES) - applicable(points=None) == {"data", "decision_boundary"}
    assert set(FIGURES) - applicable(coefficients=[]) == {"coefficients"}


def test_a_band_is_drawn_of_few_candidates() -> None:
    of = context()

    def with_band(low: Any) -> FigureContext:
        curve = of.curves["roc"]
        return replace(of, curves={**of.curves, "roc": {**curve, "low": low, "high": curve["true_positive_rate"]}})

    banded = with_band(of.curves["roc"]["true_positive_rate"] / 2)
    unknown = with_band(np.full_like(of.curves["roc"]["threshold"], np.nan))
    for shown, bands in (([banded], 1), ([banded, unknown], 1), ([banded] * 3, 3), ([banded] * 4, 0)):
        (axes,) = FIGURES["roc"].draw(*shown).axes
        assert len(axes.collections) == bands


def test_the_loss_reaches_the_end_of_each_fit_and_long_fits_do_not_hide_short_ones() -> None:
    of = context()
    short = replace(of, card=replace(of.card, fit=replace(of.card.ended, epochs=2)))
    (axes,) = FIGURES["loss"].draw(of, short).axes
    assert [curve_of(line)[0][-1] for line in axes.lines] == [100, 2]
    assert axes.get_xscale() == "symlog"
    assert {"0", "10"} <= {label.get_text() for label in axes.get_xticklabels()}
    assert FIGURES["loss"].draw(of, of).axes[0].get_xscale() == "linear"


def test_losses_in_folds_stand_beside_those_of_the_fit_in_the_candidate_s_colour() -> None:
    of = context()
    course = {"epoch": np.array([0.0, 100.0]), "training": np.array([0.7, 0.5]), "validation": np.array([0.7, 0.6])}
    drawn = FIGURES["loss"].draw(of, replace(of, name="b", course=course))
    first, folds = drawn.axes
    assert [curve_of(line)[1].tolist() for line in folds.lines] == [[0.7, 0.5], [0.7, 0.6]]
    assert {line.get_color() for line in folds.lines} == {first.lines[1].get_color()}
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [line.get_label() for line in first.lines]
    with stable_rendering():
        drawn.draw_without_rendering()
        assert nothing_overlaps(drawn)


def test_scores_are_the_shares_of_each_class() -> None:
    of = context()
    p, y = 1 / (1 + np.exp(-of.log_odds(of.points[0]))), of.points[1]  # type: ignore[misc, index]
    (axes,) = FIGURES["scores"].draw(of).axes
    for label in (0, 1):
        values, edges, _ = axes.patches[2 * label + 1].get_data()  # type: ignore[attr-defined]
        assert values == pytest.approx(np.histogram(p[y == label], edges)[0] / (y == label).sum())


def test_gain_and_lift_are_those_of_the_sorted_rows() -> None:
    of = context()
    z, y = of.log_odds(of.points[0]), of.points[1]  # type: ignore[misc, index]
    gain, lift = FIGURES["gain_lift"].draw(of).axes
    found = np.cumsum(y[np.argsort(-z)]) / y.sum()
    depths = np.arange(1, 61) / 60
    assert np.interp(depths, *curve_of(gain.lines[1])) == pytest.approx(found, abs=2e-3)
    assert np.interp(depths, *curve_of(lift.lines[1])) == pytest.approx(found / depths, abs=5e-3)


def test_a_threshold_s_dot_lies_on_its_curves() -> None:
    of = replace(context(), decision=replace(context().decision, threshold=0.3))
    for axes in FIGURES["threshold"].draw(of).axes:
        (dot,) = np.asarray(axes.collections[0].get_offsets())
        assert dot == pytest.approx([0.3, np.interp(0.3, *curve_of(axes.lines[0]))], abs=5e-3)


def test_coefficients_have_the_interval_and_the_class_that_they_favour() -> None:
    rows = [
        coefficient("x", 2.0, per_deviation_low="1", per_deviation_high="1e9"),
        coefficient("job = cook", -1.0, per_deviation_low="-2", per_deviation_high="0.5", against="nurse"),
    ]
    intercept = coefficient("(intercept)", 1.0, per_deviation="")
    (axes,) = FIGURES["coefficients"].draw(replace(context(), coefficients=[intercept, *rows])).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["job = cook against nurse", "x"]
    segments = [[[*point] for point in line] for lines in axes.collections for line in lines.get_segments()]  # type: ignore[attr-defined]
    assert segments == [[[-2, 0], [0.5, 0]], [[1, 1], [1e9, 1]]]
    assert axes.get_xlim()[1] < 10  # an interval without end does not hide the others
    assert [(line.get_label(), [*curve_of(line)[0]]) for line in axes.lines[1:]] == [
        ("favours label = 0", [-1]),
        ("favours label = 1", [2]),
    ]
    many = replace(context(features=[f"x{i}" for i in range(40)]), coefficients=rows)
    assert FIGURES["coefficients"].draw(many).axes[0].get_title("left") == "The 2 largest of 40 coefficients"


@pytest.mark.parametrize(("w", "b"), [([1.0, -2.0], 0.5), ([2.0, 0.0], -0.5)], ids=["slanted", "vertical"])
def test_a_linear_boundary_is_where_p_is_one_half(w: list[float], b: float) -> None:
    axes = FIGURES["decision_boundary"].draw(context((np.array(w), b))).axes[0]
    (line,) = axes.lines
    z = np.column_stack([line.get_xdata(), line.get_ydata()]) @ w + b
    assert z == pytest.approx([0, 0], abs=1e-12)
    assert legend(axes) == ["label = 0", "label = 1", "p = 0.5"]


def test_the_boundary_of_a_model_that_is_not_linear_is_a_contour() -> None:
    axes = FIGURES["decision_boundary"].draw(context(None)).axes[0]
    (contour,) = (collection for collection in axes.collections if hasattr(collection, "levels"))
    (path,) = contour.get_paths()
    radii = np.linalg.norm(np.asarray(path.vertices), axis=1)
    assert radii == pytest.approx(np.ones(len(radii)), abs=1e-3)
    assert legend(axes) == ["label = 0", "label = 1", "p = 0.5"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("line", [(np.zeros(2), 1.0), None], ids=["zero weights", "one class"])
def test_without_a_boundary_there_is_no_line(line: tuple[Array, float] | None) -> None:
    of = replace(context(line), log_odds=lambda X: np.ones(len(X)))
    axes = FIGURES["decision_boundary"].draw(of).axes[0]
    assert not axes.lines
    assert legend(axes) == ["label = 0", "label = 1"]


def test_the_list_is_read_without_matplotlib() -> None:
    late = "{'matplotlib', 'jinja2', 'vl_convert', 'altair'}"
    code = f"import sys; import pipeline.stages.report; sys.exit(len({late} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("count", "shown"), [(1234567, "1234567"), (12.0512, "12.05"), (3.0, "3")])
def test_a_count_is_a_whole_number_or_has_two_digits_more(count: float, shown: str) -> None:
    of = context()
    drawn = FIGURES["confusion"].draw(replace(of, metrics={**of.metrics, "true_negatives": count}))
    assert drawn.axes[0].texts[0].get_text().partition("\n")[0] == shown


def test_the_palette_is_told_apart_from_white_and_from_itself() -> None:
    def luminance(colour: str) -> float:
        parts = np.array(colors.to_rgb(colour))
        return float(np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])

    assert len(set(PALETTE)) == len(PALETTE)
    assert all(1.05 / (luminance(colour) + 0.05) > 2 for colour in PALETTE)
