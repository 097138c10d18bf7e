"""What the figures are drawn from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.arrays import Array
from pipeline.files import Table
from pipeline.model.card import ModelCard
from pipeline.model.decision import Decision


@dataclass(frozen=True)
class FigureContext:
    """What is known of an evaluated model. The last three are needed by `boundary` alone."""

    name: str  # of the candidate
    card: ModelCard
    decision: Decision
    history: Table
    curves: Mapping[str, Table]
    metrics: Mapping[str, float]
    coefficients: Sequence[Mapping[str, str]] = ()  # the largest, as coefficients.csv has them; none: it is not linear
    log_odds: Callable[[Array], Array] | None = None  # from raw features (n, d) to z (n,)
    raw_weights: tuple[Array, float] | None = None  # w (d,) and b on raw features; None: it is not linear
    points: tuple[Array, Array] | None = None  # X (n, 2) and y (n,) of training rows; None: the features are not two, or sparse
