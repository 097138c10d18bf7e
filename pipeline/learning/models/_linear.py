"""What logistic regressions share: their settings, how they are fitted, and a linear model's log-odds in NumPy."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipeline.arrays import Array, Features
    from pipeline.learning.model import Fit, Observer
    from pipeline.learning.objective import Objective
    from pipeline.learning.optimizer import Optimizer

Arrays = Mapping[str, NDArray[Any]]
Penalty = float | Literal["auto", "cv", "cv_1se"]  # a number, or how training finds it: see pipeline.evaluation.penalty


@dataclass(frozen=True)
class EncoderOptions:
    """How the columns of a table become features."""

    min_rows: int = 5  # training rows of a category's level, and of a word; rarer levels are pooled, rarer words left out
    max_levels: int = 1000  # of a category, the pool among them: the most frequent
    max_words: int = 1000  # of a text column: the most frequent

    def __post_init__(self) -> None:
        from pipeline.limits import check_at_least

        for name, least in (("min_rows", 1), ("max_levels", 2), ("max_words", 1)):
            check_at_least(name, getattr(self, name), least)


@dataclass(frozen=True)
class Logistic:
    """The settings of a logistic regression; a subclass defines what computes its objective."""

    dtype: str = "float64"  # or float32
    l2: Penalty = 0.0  # the strength in mean loss + l2/2 ||w||^2
    class_weight: str | Mapping[Any, float] = "none"  # or balanced, or what the rows of a class are multiplied by: {yes: 5}
    init: Any = "zeros"  # or uniform: seeded, U(-1/sqrt(d), 1/sqrt(d)) as torch.nn.Linear; or d weights and an intercept
    seed: int = 0  # of init: uniform, and of the folds of l2: cv
    standardize: bool = True  # train on (x - mean) / scale
    inference: str = "auto"  # standard errors of the weights: none, classic, HC0 to HC3, cluster; auto: cluster with data.group
    encoder: EncoderOptions = field(default_factory=EncoderOptions)

    def __post_init__(self) -> None:
        from pipeline.learning.logistic import check_settings

        check_settings(self)

    @property
    def strength(self) -> float:
        """l2 as a fit takes it. Raises ConfigError unless it is a number."""
        from pipeline.errors import ConfigError

        if isinstance(self.l2, str):
            raise ConfigError(f"model.l2 must be a number by the time a model is fitted; got {self.l2}")
        return self.l2

    def objective(self, X: "Features", y: "Array", optimizer: "Optimizer", m: "Array | None") -> "tuple[Objective, Optimizer]":
        """The objective over X, the features in the form that is trained on, and the optimizer that can minimise it.

        m: row weights (n,) of mean 1, or None.
        """
        raise NotImplementedError

    def fit(
        self,
        X: "Features",
        y: "Array",
        optimizer: "Optimizer",
        features: Sequence[str] = (),
        observer: "Observer | None" = None,
        weight: "Array | None" = None,
        classes: Sequence[Any] = (0, 1),
    ) -> "Fit":
        """See `pipeline.learning.model.Model.fit`."""
        from pipeline.learning.diagnosis import fit_and_diagnose

        return fit_and_diagnose(self, X, y, optimizer, features, observer, weight, classes)


@dataclass(frozen=True)
class LinearModel:
    """z = ((x - mean) / scale) . w + b, from raw feature values x."""

    mean: NDArray[Any]  # (d,)
    scale: NDArray[Any]  # (d,)
    w: NDArray[Any]  # (d,), in the dtype that it was trained in
    b: float

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        return cls(arrays["mean"], arrays["scale"], arrays["w"], float(arrays["b"]))

    @classmethod
    def at(cls, theta: NDArray[Any], mean: NDArray[Any], scale: NDArray[Any]) -> Self:
        """theta = [w, b] (d+1,)."""
        return cls(mean, scale, theta[:-1], float(theta[-1]))

    @property
    def theta(self) -> NDArray[np.float64]:
        """[w, b] (d+1,) in float64."""
        return np.append(self.w.astype(np.float64), self.b)

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"mean": self.mean, "scale": self.scale, "w": self.w, "b": np.array(self.b)}

    def log_odds(self, X: Any) -> NDArray[np.float64]:
        """z (n,) in float64 of raw features X (n, d), an array or any of SciPy's sparse formats."""
        if isinstance(X, np.ndarray):
            Z = np.subtract(X, self.mean, order="C")  # for the same bits, however X lies in memory
            Z /= self.scale
            return np.asarray(Z @ self.w.astype(np.float64) + self.b)
        w, b = self.raw_weights()
        return np.asarray(X @ w + b)

    def raw_weights(self) -> tuple[NDArray[np.float64], float]:
        """(w (d,), b) with which z = X w + b on raw features."""
        w = self.w.astype(np.float64) / self.scale
        return w, self.b - math.fsum((w * self.mean).tolist())  # the same bits, whatever BLAS there is


def linear_model(arrays: Arrays) -> LinearModel | None:
    """The linear model of these arrays; None where they are another kind's."""
    return LinearModel.from_arrays(arrays) if set(arrays) == {"mean", "scale", "w", "b"} else None


def log_odds(arrays: Arrays, X: Any) -> NDArray[np.float64]:
    """z (n,) of raw features X (n, d), from a linear model's arrays."""
    return LinearModel.from_arrays(arrays).log_odds(X)
