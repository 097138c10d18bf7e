"""Whether two classes can be separated, so that without a penalty no finite best model exists (Albert and Anderson 1984).

With the signed rows C = diag(s) [X, 1] (n, k), they can be exactly where a direction v has C v >= 0, and > 0 in some row: along
it the loss falls for ever. Two certificates decide that (Gordan's and Stiemke's theorems), both found by Newton's method:

    separable        a v with C v >= 0, checked on every row
    not separable    q > 0 with C^T q = 0: the probabilities p of the wrong class, corrected by a Newton step u = C d to
                     q = p (1 - (1 - p) u), so it is one where the step moves no row's log-odds by 1 or more

Rows only restrict v: if some of the rows rule it out, all do. So a sample decides for a well-posed table. Some rows R with the
second certificate leave only directions of C_R's null space, in which the other rows are then searched: that finds
quasi-complete separation, where R lies on the boundary. All is computed in float64, whatever the columns' units.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, Features, column_ranges
from pipeline.determinism import one_thread
from pipeline.learning.matrix import gram
from pipeline.learning.models import LinearModel
from pipeline.learning.signed_rows import MAX_COLUMNS, SignedRows, sample_of, sample_size
from pipeline.model.predictor import probability

MAX_STEPS, MAX_ROUNDS = 40, 12  # Newton steps on a sample, and samples
MAX_NUMBERS = 20_000_000  # in a sample that grew: beyond, the search ends without a result
MIN_PROBABILITY = 1e-9  # of the wrong class: a row with less tells nothing that rounding might not
ROUNDING = 1e-13  # of a sum's terms
MIN_PIVOT = 1e-10  # of the greatest: a column with less is a combination of others
MAX_NAMED = 10  # columns
FIRST_ROWS = 10_000  # which mostly show already that a column does not separate the classes


@dataclass(frozen=True)
class Separation:
    """By what two classes can be separated."""

    kind: str  # "complete", or "quasi-complete" where some rows lie on the boundary
    alone: bool  # each of the columns separates them alone; else all together, the one with the most weight first
    columns: tuple[int, ...]


class _Array:
    """SignedRows of an array C (n, k) that is there."""

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

    None where nothing does. Beyond MAX_COLUMNS columns, only the fit's own direction and single columns are tried.
    """
    with one_thread, np.errstate(all="ignore"):
        C, theta = SignedRows(X, y, model.mean, model.scale), model.theta
        if C.shape[1] > MAX_COLUMNS:
            return _by_direction_or_column(X, y, C, theta)
        direction = _recession(C, theta, sample_of(y, sample_size(C.shape[1])))
        return None if direction is None else _described(X, y, C, direction)


def find_complete(X: Features, y: Array, model: LinearModel) -> Separation | None:
    """The same where no row lies on the boundary, by the fit's own direction or a single column: in a few passes over X."""
    with one_thread, np.errstate(all="ignore"):
        found = _by_direction_or_column(X, y, SignedRows(X, y, model.mean, model.scale), model.theta)
    return found if found and found.kind == "complete" else None


def _by_direction_or_column(X: Features, y: Array, C: SignedRows, theta: Array) -> Separation | None:
    """By the direction of theta, or single columns."""
    return _described(X, y, C, theta if _separates(C, theta) else None)


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
    moved, used = D.any(axis=1), D.any(axis=0)
    if not moved.any():
        return None
    rest = D[np.ix_(moved, used)]
    step = max(1, len(rest) // (2 * sample_size(rest.shape[1])))
    found = _recession(_Array(rest), np.zeros(rest.shape[1]), np.arange(0, len(rest), step), precision)
    return None if found is None else null[:, used] @ found


def _decide(B: Array, theta: Array) -> tuple[Array, Array | None, float]:
    """Newton's method on the rows B (m, k) from theta until it separates them, or they rule that out but for a null space.

    Returns the last point, the null space (k, r), and how much more than rounding blurs a product with it.
    """
    unit = _nonzero(abs(B).max(axis=0))
    B, theta = B / unit, theta * unit
    theta = theta if np.isfinite(theta).all() else np.zeros_like(theta)
    no_direction = np.empty((len(theta), 0)), 0.0
    null: Array | None = None
    margins, blur = B @ theta, 0.0
    loss = _loss(margins)
    for _ in range(MAX_STEPS):
        if margins.min() > ROUNDING * abs(theta).sum():
            break
        p = probability(-margins)
        step, is_regular = _newton_step(B, p)
        change = B @ step
        is_still = ((1 - p) * change < 0.5) & (p > MIN_PROBABILITY)
        if is_still.all() and is_regular:
            null, blur = no_direction
            break
        if (abs(change[is_still]) < 0.5).all() and is_still.any():
            R, q = B[is_still], p[is_still]
            if is_still.all() or ((1 - q) * (R @ _newton_step(R, q)[0]) < 0.5).all():
                null, blur = _null_space(R * np.sqrt(q * (1 - q))[:, None])
                break
        length = 1.0
        while not (new := _loss(margins + length * change)) < loss and length > 1e-6:
            length /= 4
        if not new < loss:
            null, blur = no_direction
            break
        theta, loss = theta + length * step, new
        margins = B @ theta
    return theta / unit, null if null is None else null / unit[:, None], blur


def _loss(margins: Array) -> float:
    return float(np.logaddexp(0, -margins).sum())


def _nonzero(sizes: Array) -> Array:
    return np.where(sizes == 0, 1, sizes)


def _newton_step(B: Array, p: Array) -> tuple[Array, bool]:
    """The step along which the rows' margins grow, and whether their Hessian is surely regular."""
    from scipy.linalg.lapack import dpocon, dpotrf, dpotrs

    H, g = gram(B, p * (1 - p)), p @ B
    unit = _nonzero(np.sqrt(np.diag(H)))
    scaled = H / (unit[:, None] * unit)
    factor, failure = dpotrf(scaled)
    if not failure and dpocon(factor, abs(scaled).sum(axis=0).max())[0] > 100 * MIN_PIVOT**1.2:
        return dpotrs(factor, g / unit)[0] / unit, True
    return pseudo_solve(H, g), False


def pseudo_solve(H: Array, g: Array) -> Array:
    """H^-1 g in the directions in which the positive semi-definite H (k, k) is not 0."""
    unit = _nonzero(np.sqrt(np.diag(H)))
    values, vectors = np.linalg.eigh(H / (unit[:, None] * unit))
    inverse = np.divide(1, values, where=values > 1e-13 * values[-1], out=np.zeros_like(values))
    return vectors @ (inverse * (vectors.T @ (g / unit))) / unit


def _null_space(M: Array) -> tuple[Array, float]:
    """Directions v (k, r) with M v = 0, and how much more than rounding blurs a product with them."""
    from scipy.linalg import qr, solve_triangular

    unit = _nonzero(np.sqrt(np.square(M).sum(axis=0)))
    R, order = qr(M / unit, mode="r", pivoting=True)
    pivots = abs(np.diag(R))
    rank = int((pivots > MIN_PIVOT * pivots[0]).sum()) if pivots[0] else 0
    null = np.zeros((M.shape[1], M.shape[1] - rank))
    null[order[:rank]] = -solve_triangular(R[:rank, :rank], R[:rank, rank:]) if rank else 0
    null[order[rank:]] = np.eye(M.shape[1] - rank)
    blur = 10 * float(pivots[0] / pivots[rank - 1]) if rank else 1.0
    null[abs(null) < ROUNDING * blur * abs(null).max(axis=0, initial=0)] = 0
    return null / unit[:, None], blur


def _described(X: Features, y: Array, C: SignedRows, v: Array | None) -> Separation | None:
    """The columns of a direction that separates every row; without one, the single columns that do."""
    columns = np.arange(X.shape[1])
    if v is None:  # what overlaps among some rows does among all
        columns = np.flatnonzero(_gap_and_spread(X[:FIRST_ROWS], y[:FIRST_ROWS])[0] >= 0)
        X = X if len(columns) == X.shape[1] else X[:, columns]
    gap, spread = _gap_and_spread(X, y)
    is_complete = v is not None and _separates(C, v)
    alone = np.flatnonzero((gap > 0) if is_complete else (gap >= 0) & (spread > 0))
    kind = "complete" if is_complete or gap[alone].max(initial=0) > 0 else "quasi-complete"
    if len(alone):
        return Separation(kind, True, tuple(map(int, columns[alone[:MAX_NAMED]])))
    if v is None:
        return None
    margins, rounding = C.times(v), 100 * ROUNDING * C.sizes(v)
    if not is_complete and ((margins < -rounding).any() or not (margins > rounding).any()):
        return None
    weight = abs(v[:-1]) * spread
    heaviest = np.argsort(-weight, kind="stable")[:MAX_NAMED]
    return Separation(kind, False, tuple(int(j) for j in heaviest if weight[j] > 1e-9 * weight.max()))


def _gap_and_spread(X: Features, y: Array) -> tuple[Array, Array]:
    """Of each column (d,): how far apart its values in the two classes lie, negative where they overlap, and its range.

    Infinite where there are no rows of a class.
    """
    ones = y == 1
    if ones.all() or not ones.any():
        return np.full(X.shape[1], np.inf), np.full(X.shape[1], np.inf)
    low, high = column_ranges(X, ones), column_ranges(X, ~ones)
    gap = np.maximum(low[0] - high[1], high[0] - low[1])
    return gap, np.maximum(low[1], high[1]) - np.minimum(low[0], high[0])
