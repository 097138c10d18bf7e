"""Every figure of the registry: when it applies, its bytes, and room for long names."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rc_context, rcParams
from matplotlib.axes import Axes

from pipeline.arrays import Array
from pipeline.evaluation.figures import FIGURES, Figure, stable_rendering
from pipeline.files import write_figure
from tests.evaluation.context import context

LONG = ["How content are you with " + "very " * 60 + end for end in ("the food?", "the staff?")]
ALL = pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    assert found
    return [text.get_text() for text in found.get_texts()]


@ALL
@pytest.mark.filterwarnings("error")
def test_long_names_leave_room_for_the_axes(figure: Figure) -> None:
    drawn = figure.draw(context(features=LONG, classes=LONG, target=LONG[0]))
    drawn.draw_without_rendering()
    assert len(drawn.axes[0].containers) == (figure.name == "weights")
    assert all(len(bars) == 2 for bars in drawn.axes[0].containers)  # though both begin alike


@ALL
def test_equal_bytes_whatever_the_user_has_set(figure: Figure, tmp_path: Path) -> None:
    of = context(features=["a $x", "b_1$"])
    for name, size in (("a.png", 10.0), ("b.png", 20.0)):
        with rc_context({"font.size": size}):
            with stable_rendering():
                write_figure(tmp_path / name, figure.draw(of))
            assert rcParams["font.size"] == size
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_which_figures_apply() -> None:
    def applicable(**changes: object) -> set[str]:
        of = replace(context(), **changes)  # type: ignore[arg-type]
        return {name for name, figure in FIGURES.items() if figure.applies(of)}

    assert applicable() == set(FIGURES)
    assert set(FIGURES) - applicable(points=None) == {"data", "decision_boundary"}
    assert set(FIGURES) - applicable(weights=None) == {"weights"}


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


def test_the_largest_of_many_weights_are_shown() -> None:
    many = replace(context(features=[f"x{i}" for i in range(40)]), weights=np.linspace(-1, 2, 40))
    axes = FIGURES["weights"].draw(many).axes[0]
    assert axes.get_title() == "The 25 largest of 40 weights"
    assert axes.get_yticklabels()[-1].get_text() == "x39"


def test_the_list_is_read_without_matplotlib() -> None:
    late = "{'matplotlib', 'jinja2', 'vl_convert', 'altair'}"
    code = f"import sys; import pipeline.stages.report; sys.exit(len({late} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("count", "shown"), [(1234567, "1234567"), (12.0512, "12.05"), (3.0, "3")])
def test_a_count_is_a_whole_number_or_has_two_digits_more(count: float, shown: str) -> None:
    of = context()
    drawn = FIGURES["confusion"].draw(replace(of, metrics={**of.metrics, "true_negatives": count}))
    assert drawn.axes[0].texts[0].get_text().partition("\n")[0] == shown
