"""Whether two classes can be separated, so that without a penalty no finite best model exists (Albert and Anderson 1984).

With the signed rows C = diag(s) [X, 1] (n, k), they can be exactly where a direction v has C v >= 0, and > 0 in some row: along
it the loss falls without end. Two certificates decide that (Gordan's and Stiemke's theorems), both found by Newton's method:

    separable        a v with C v >= 0, held to every row
    not separable    q > 0 with C^T q = 0: the probabilities p of the wrong class, corrected by a Newton step u = C d to
                     q = p (1 - (1 - p) u), so it is one where the step moves no row's log-odds by 1 or more

Rows only restrict v: if some of the rows rule it out, all do. So a sample decides for a table that is well posed. Some rows R
with the second certificate leave only directions of C_R's null space, in which the other rows are looked at again: that finds
quasi-complete separation, where R lies on the boundary. All is done in float64, and no unit of a column matters.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, Features, column_ranges, row_blocks
from pipeline.determinism import one_thread
from pipeline.learning.losses import signs_of
from pipeline.learning.models import LinearModel
from pipeline.model.predictor import probability

MAX_COLUMNS = 1000  # columns up to which a Hessian is made; beyond, only the fit's own direction and single columns are tried
MIN_ROWS, ROWS_A_COLUMN = 1000, 50  # of a sample
MAX_STEPS, MAX_ROUNDS = 40, 12  # Newton steps on a sample, and samples
MAX_NUMBERS = 20_000_000  # of a sample that grew; beyond, nothing was found
MIN_PROBABILITY = 1e-9  # of the wrong class, below which a row says nothing that rounding would not say
ROUNDING = 1e-13  # of a sum's terms
MIN_PIVOT = 1e-10  # of the greatest, below which a column is one that others make
MAX_NAMED = 10  # that are named


@dataclass(frozen=True)
class Separation:
    """By what two classes can be separated."""

    kind: str  # "complete", or "quasi-complete" where some rows lie on the boundary
    alone: bool  # each of the columns separates them alone; else all together, the one with the most weight first
    columns: tuple[int, ...]


class SignedRows:
    """diag(s) [(X - mean) / scale, 1] of features X as they lie."""

    def __init__(self, X: Features, y: Array, mean: Array, scale: Array) -> None:
        self._X, self._signs, self._mean, self._scale = X, signs_of(y, np.dtype(np.float64)), mean, scale
        self.shape = X.shape[0], X.shape[1] + 1

    def take(self, index: NDArray[np.intp]) -> Array:
        """Some rows as an array."""
        X = self._X[index]
        A = np.ones((len(index), self.shape[1]))
        A[:, :-1] = ((X if isinstance(X, np.ndarray) else X.toarray()) - self._mean) / self._scale
        A *= self._signs[index, None]
        return A

    def times(self, V: Array) -> Array:
        """C V."""
        W = self._unscaled(V)
        products = np.concatenate([X @ W for X in self._parts()]) + V[-1]
        return (products.T * self._signs).T

    def sizes(self, V: Array) -> Array:
        """|C| |V|, which rounding is measured by."""
        W = abs(self._unscaled(V))
        return np.concatenate([abs(X) @ W for X in self._parts()]) + abs(V[-1])

    def transposed_times(self, r: Array) -> Array:
        """C^T r."""
        r = r * self._signs
        ends = np.cumsum([0, *(X.shape[0] for X in self._parts())])
        sums = sum(X.T @ r[start:end] for X, start, end in zip(self._parts(), ends, ends[1:], strict=False))
        return np.append(sums / self._scale, r.sum())

    def _unscaled(self, V: Array) -> Array:
        return (V[:-1].T / self._scale).T

    def _parts(self) -> Iterator[Features]:
        """X - mean: what is left of a product with X where the mean is taken off afterwards may be rounding alone."""
        if not isinstance(self._X, np.ndarray):  # whose mean is 0
            return iter([self._X.astype(np.float64, copy=False)])
        return (self._X[rows] - self._mean for rows in row_blocks(*self.shape))


class _Array:
    """The same of an array C (n, k)."""

    def __init__(self, C: Array) -> None:
        self._C, self.shape = C, C.shape

    def take(self, index: NDArray[np.intp]) -> Array:
        return self._C[index]

    def times(self, V: Array) -> Array:
        return self._C @ V

    def sizes(self, V: Array) -> Array:
        return abs(self._C) @ abs(V)


_Rows = SignedRows | _Array


def find(X: Features, y: Array, model: LinearModel) -> Separation | None:
    """What separates the classes of y (n,) in {0, 1} by the columns of X (n, d), starting from where a fit to them has ended.

    None where nothing does or, beyond MAX_COLUMNS columns, where nothing was found.
    """
    with one_thread, np.errstate(all="ignore"):
        C = SignedRows(X, y, model.mean, model.scale)
        theta = np.append(model.w.astype(np.float64), model.b)
        if C.shape[1] > MAX_COLUMNS:
            return _described(X, y, C, theta if _separates(C, theta) else None)
        direction = _recession(C, theta, sample_of(y, max(MIN_ROWS, ROWS_A_COLUMN * C.shape[1])))
        return None if direction is None else _described(X, y, C, direction)


def sample_of(y: Array, size: int) -> NDArray[np.intp]:
    """Some rows, half of each class where it has so many, in order; all of them where they are few."""
    if len(y) <= 2 * size:
        return np.arange(len(y))
    rng, parts = np.random.default_rng(0), [np.flatnonzero(y == label) for label in (0, 1)]
    few = min(size // 2, *map(len, parts))
    drawn = [part if len(part) <= few else part[np.unique(rng.integers(len(part), size=size - few))] for part in parts]
    return np.sort(np.concatenate(drawn))


def _separates(C: _Rows, v: Array) -> bool:
    """Whether C v > 0 in every row, however it is rounded."""
    margins = C.times(v)
    return bool(margins.min() > 0 and (margins > ROUNDING * C.sizes(v)).all())


def _recession(C: _Rows, theta: Array, chosen: NDArray[np.intp], rounding: float = ROUNDING) -> Array | None:
    """v (k,) with C v >= 0, and > 0 in some row; None where there is none. `rounding` is that of C's entries."""
    if C.shape[1] == 1:
        change = C.times(np.ones(1))
        return next((np.array([sign]) for sign in (1.0, -1.0) if (sign * change >= 0).all() and change.any()), None)
    for _ in range(MAX_ROUNDS):
        theta, null, blur = _decide(C.take(chosen), theta)
        if null is not None:
            return _recession_in(C, null, rounding * blur)
        margins = C.times(theta)
        wrong = np.setdiff1d(np.flatnonzero(margins <= 0), chosen, assume_unique=True)
        if not len(wrong):
            return theta if _separates(C, theta) else None
        if 2 * len(chosen) * C.shape[1] > MAX_NUMBERS:
            return None
        worst = wrong[np.argsort(margins[wrong], kind="stable")[: len(chosen)]]
        chosen = np.sort(np.concatenate([chosen, worst]))
    return None


def _recession_in(C: _Rows, null: Array, precision: float) -> Array | None:
    """The same among the directions that `null` (k, r) spans; `precision` is theirs."""
    if not null.shape[1]:
        return None
    D = C.times(null)
    D[abs(D) <= precision * C.sizes(null)] = 0
    moved = D.any(axis=1)
    if not moved.any():
        return None
    rest = D[moved]
    rest = rest[:, used] if not (used := rest.any(axis=0)).all() else rest
    step = max(1, len(rest) // (2 * max(MIN_ROWS, ROWS_A_COLUMN * rest.shape[1])))
    found = _recession(_Array(rest), np.zeros(rest.shape[1]), np.arange(0, len(rest), step), precision)
    return None if found is None else null[:, used] @ found


def _decide(B: Array, theta: Array) -> tuple[Array, Array | None, float]:
    """Newton's method on the rows B (m, k) from theta until it separates them, or they rule that out but for a null space.

    Returns where it has come to, the null space (k, r), and how much more than rounding blurs a product with it."""
    unit = abs(B).max(axis=0)
    unit[unit == 0] = 1
    B, theta = B / unit, theta * unit
    if not np.isfinite(theta).all():
        theta = np.zeros_like(theta)
    margins = B @ theta
    loss = _loss(margins)
    for _ in range(MAX_STEPS):
        if margins.min() > ROUNDING * abs(theta).sum():
            break
        p = probability(-margins)
        step, is_regular = _newton_step(B, p)
        change = B @ step
        is_still = ((1 - p) * change < 0.5) & (p > MIN_PROBABILITY)
        if is_still.all() and is_regular:
            return theta / unit, np.empty((len(theta), 0)), 0.0
        if (abs(change[is_still]) < 0.5).all() and is_still.any():
            R, q = B[is_still], p[is_still]
            if is_still.all() or ((1 - q) * (R @ _newton_step(R, q)[0]) < 0.5).all():
                null, blur = _null_space(R * np.sqrt(q * (1 - q))[:, None])
                return theta / unit, null / unit[:, None], blur
        length = 1.0
        while not (new := _loss(margins + length * change)) < loss and length > 1e-6:
            length /= 4
        if not new < loss:
            return theta / unit, np.empty((len(theta), 0)), 0.0
        theta, loss = theta + length * step, new
        margins = B @ theta
    return theta / unit, None, 0.0


def _loss(margins: Array) -> float:
    return float(np.logaddexp(0, -margins).sum())


def _newton_step(B: Array, p: Array) -> tuple[Array, bool]:
    """The step along which the rows' margins grow, and whether their Hessian is surely regular."""
    from scipy.linalg.lapack import dpocon, dpotrf, dpotrs

    H, g = gram(B, p * (1 - p)), p @ B
    unit = _column_units(H)
    scaled = H / (unit[:, None] * unit)
    factor, failure = dpotrf(scaled)
    if not failure and dpocon(factor, abs(scaled).sum(axis=0).max())[0] > 100 * MIN_PIVOT**1.2:
        return dpotrs(factor, g / unit)[0] / unit, True
    return pseudo_solve(H, g), False


def gram(B: Array, weights: Array) -> Array:
    """B^T diag(weights) B (k, k), for weights (m,) >= 0."""
    S = B * np.sqrt(weights)[:, None]
    return S.T @ S


def pseudo_solve(H: Array, g: Array) -> Array:
    """H^-1 g in the directions in which the positive semi-definite H (k, k) is not 0."""
    unit = _column_units(H)
    values, vectors = np.linalg.eigh(H / (unit[:, None] * unit))
    inverse = np.divide(1, values, where=values > 1e-13 * values[-1], out=np.zeros_like(values))
    return vectors @ (inverse * (vectors.T @ (g / unit))) / unit


def _column_units(H: Array) -> Array:
    """The units (k,) in which H has ones on its diagonal, or zeros."""
    unit = np.sqrt(np.diag(H))
    return np.where(unit == 0, 1, unit)


def _null_space(M: Array) -> tuple[Array, float]:
    """Directions v (k, r) with M v = 0, and how much more than rounding blurs a product with them."""
    from scipy.linalg import qr, solve_triangular

    unit = np.sqrt(np.square(M).sum(axis=0))
    unit[unit == 0] = 1
    R, order = qr(M / unit, mode="r", pivoting=True)
    pivots = abs(np.diag(R))
    rank = int((pivots > MIN_PIVOT * pivots[0]).sum()) if pivots[0] else 0
    null = np.zeros((M.shape[1], M.shape[1] - rank))
    null[order[:rank]] = -solve_triangular(R[:rank, :rank], R[:rank, rank:]) if rank else 0
    null[order[rank:]] = np.eye(M.shape[1] - rank)
    blur = 10 * float(pivots[0] / pivots[rank - 1]) if rank else 1.0
    null[abs(null) < ROUNDING * blur * abs(null).max(axis=0, initial=0)] = 0
    return null / unit[:, None], blur


def _described(X: Features, y: Array, C: _Rows, v: Array | None) -> Separation | None:
    """What is said of a direction, if it holds for every row; without one, of the single columns that separate."""
    low, high = column_ranges(X, y == 1), column_ranges(X, y == 0)
    gap = np.maximum(low[0] - high[1], high[0] - low[1])  # between the classes
    spread = np.maximum(low[1], high[1]) - np.minimum(low[0], high[0])
    kind = "quasi-complete"
    if v is not None:
        margins, rounding = C.times(v), 100 * ROUNDING * C.sizes(v)
        kind = "complete" if _separates(C, v) else kind
    alone = np.flatnonzero((gap > 0) if kind == "complete" else (gap >= 0) & (spread > 0))
    if len(alone):
        return Separation("complete" if gap[alone].max() > 0 else kind, True, tuple(map(int, alone[:MAX_NAMED])))
    if v is None or (kind != "complete" and ((margins < -rounding).any() or not (margins > rounding).any())):
        return None
    weight = abs(v[:-1]) * spread
    heaviest = np.argsort(-weight, kind="stable")[:MAX_NAMED]
    return Separation(kind, False, tuple(int(j) for j in heaviest if weight[j] > 1e-9 * weight.max()))
