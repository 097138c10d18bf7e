"""A linear model's arrays, and its log-odds in NumPy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


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
        return w, float(self.b - w @ self.mean)


def linear_model(arrays: Arrays) -> LinearModel | None:
    """The linear model of these arrays; None where they are another kind's."""
    return LinearModel.from_arrays(arrays) if set(arrays) == {"mean", "scale", "w", "b"} else None


def log_odds(arrays: Arrays, X: Any) -> NDArray[np.float64]:
    """z (n,) of raw features X (n, d), from a linear model's arrays."""
    return LinearModel.from_arrays(arrays).log_odds(X)
