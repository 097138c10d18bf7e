"""How sure the weights of a logistic regression are.

Without a penalty, by the Fisher information I = sum_i f_i v_i a_i a_i^T, which is the Hessian of the objective times the number
of rows (f: how often a row counts, v = p (1 - p), a = [x, 1]); the standard errors are the roots of the diagonal of

    classic       I^-1
    HC0           I^-1 (sum_i f_i u_i^2 a_i a_i^T) I^-1    u = y - p; HC1: times n/(n - k)
    HC2, HC3      the same of u^2/(1 - h), u^2/(1 - h)^2
    cluster       I^-1 (sum_g s_g s_g^T) I^-1              s_g = sum_i f_i u_i a_i in group g; times G/(G - 1) (n - 1)/(n - k)

with the leverage h_i = v_i a_i^T I^-1 a_i (White 1980, MacKinnon and White 1985, Liang and Zeger 1986), and the intervals are
Wald's. With a penalty, whose weights are biased towards 0, no p-value is right, and the intervals are percentiles of a one-step
bootstrap: from the optimum, a Newton step towards that of each resample (Davidson and MacKinnon 1999).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array, Features, drawn_counts
from pipeline.determinism import one_thread
from pipeline.interval import TAILS
from pipeline.learning.features import scaled
from pipeline.learning.log_loss import log_loss
from pipeline.learning.losses import signs_of, wrong_class_probability
from pipeline.learning.matrix import Matrix, matrix
from pipeline.learning.model import Fit, TrainingRows
from pipeline.learning.models import LinearModel, Logistic
from pipeline.learning.optimizers.newton import solved
from pipeline.learning.signed_rows import MAX_COLUMNS
from pipeline.learning.weights import NONE, training_rows
from pipeline.model.card import separation_sentence
from pipeline.text import join_limited

MIN_PIVOT = 1e-10  # the part of a column's variance that other columns must leave for its weight to be known
MAX_DISTANCE = 0.01  # from the optimum, in standard errors
RESAMPLES, MAX_UNITS = 2000, 2000  # and what is drawn: rows, or bins of rows where they are more
MIN_GROUPS = 40  # with fewer, intervals by groups hold the truth too rarely (Cameron and Miller 2015)
LEVERAGE_POWER = {"HC2": 1, "HC3": 2}
ROUNDING = 1e-6  # of a combination of columns
AUTO, CLASSIC, CLUSTER, BOOTSTRAP = "auto", "classic", "cluster", "bootstrap"
INDEPENDENT = "they take the rows of a group as independent, which model.inference=cluster does not"
SENTENCES = {
    CLASSIC: "standard errors by the Fisher information",
    CLUSTER: "standard errors that allow for the rows of a group to be alike",
    BOOTSTRAP: "intervals by a one-step bootstrap; no p-value is right with a penalty, which draws the weights towards 0",
}


@dataclass(frozen=True)
class Inference:
    """What is known of the weights per unit of the raw features: arrays (d+1,), the intercept last, nan where nothing is.

    method: one of the settings, or bootstrap; "" where nothing is known of any, for the reason that is the sentence.
    against: by the position of a level's weight, that of the level which it is the difference to.
    """

    method: str
    sentence: str
    value: Array
    low: Array
    high: Array
    standard_error: Array
    against: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Problem:
    """A fit's end in float64. f: how often each row counts (n,); m: its weight in the objective, of mean 1; u = y - p."""

    Z: Features  # (n, d)
    A: Matrix  # [Z, 1]
    theta: Array
    hessian: Array  # (d+1, d+1) of the objective, which is a mean over the rows
    gradient: Array
    m: Array
    f: Array
    u: Array
    unit: NDArray[np.int64]  # the group of each row, numbered, or the row itself

    @property
    def n(self) -> int:
        return self.A.shape[0]

    def blocks(self) -> Iterator[slice]:
        step = self.A.block_rows(1)
        return (slice(start, start + step) for start in range(0, self.n, step))


def infer(rows: TrainingRows, model: Logistic, fit: Fit, choices: Sequence[range] = ()) -> Inference:
    """What is known of the weights of `fit`, which `model` ended with on these rows.

    choices: features of which a row has at most one, such as a category's levels. Deterministic.
    """
    if model.inference == AUTO:
        model = replace(model, inference=CLASSIC if rows.group is None else CLUSTER)
    if rows.group is not None and model.inference != CLUSTER:
        found = infer(replace(rows, group=None), model, fit, choices)
        return replace(found, sentence=f"{found.sentence}; {INDEPENDENT}") if found.method else found
    fitted = LinearModel.from_arrays(fit.arrays)
    with one_thread, np.errstate(all="ignore"):
        if why := _obstacle(rows, model, fit):
            return unknown(fitted, why)
        problem = _problem(rows, model, fitted)
        order = _order(rows, len(problem.theta), choices)
        chosen, factor = independent(problem.hessian, order)
        if model.strength and len(chosen) < len(order):
            return unknown(fitted, "columns are combinations of others, and the penalty is too weak to tell them apart")
        if not (distance := _distance(problem, chosen, factor)) <= MAX_DISTANCE:
            ways = "optimizer=auto or a smaller optimizer.tol may help"
            return unknown(fitted, f"the fit ended {distance:.2g} standard errors from the optimum; {ways}")
        if model.strength:
            found = _bootstrapped(problem, fitted, chosen, factor, model)
        else:
            found = _wald(problem, fitted, chosen, factor, model.inference, rows.features, choices)
    if rows.group is None:
        return found
    sentence = f"{found.sentence}; whole groups are drawn" if found.method == BOOTSTRAP else found.sentence
    if (groups := int(problem.unit.max()) + 1) < MIN_GROUPS:
        sentence = f"{sentence}; by {groups} groups, fewer than {MIN_GROUPS}, they are mostly too narrow"
    return replace(found, sentence=sentence)


def _obstacle(rows: TrainingRows, model: Logistic, fit: Fit) -> str:
    """Why nothing can be said, if so."""
    if model.inference == "none":
        return "model.inference is none"
    if fit.separation:
        return f"{separation_sentence(fit.separation)}, so the best weights are infinite"
    if rows.X.shape[1] >= MAX_COLUMNS:
        return f"there are {rows.X.shape[1]} features, and the matrix of second derivatives is made of fewer than {MAX_COLUMNS}"
    if rows.group is not None and (rows.group == rows.group[0]).all():
        return "all training rows are of one group"
    if model.strength or model.inference != CLASSIC:
        return ""
    if model.class_weight != NONE:
        return "with model.class_weight, rows do not count as they occurred; model.inference=HC1 allows for that"
    if rows.weight is not None and not _are_counts(rows.weight):
        return "weights that are no whole numbers are no numbers of rows; model.inference=HC1 allows for that"
    return ""


def _are_counts(weight: Array) -> bool:
    return bool((weight == np.floor(weight)).all())


def unknown(model: LinearModel, why: str) -> Inference:
    """The weights alone."""
    value = np.append(*model.raw_weights())
    nan = np.full(len(value), np.nan)
    return Inference("", f"no standard errors or intervals: {why}", value, nan, nan, nan)


def _problem(rows: TrainingRows, model: Logistic, fitted: LinearModel) -> _Problem:
    every = np.arange(len(rows.y), dtype=np.float64)[:, None]
    index, y, m = training_rows(every, rows.y, rows.weight, model.class_weight, rows.classes)
    chosen = np.asarray(index)[:, 0].astype(np.intp)
    Z = scaled(rows.X if len(chosen) == len(rows.y) else rows.X[chosen], fitted.mean, fitted.scale)
    repeats = rows.weight[chosen] if rows.weight is not None and _are_counts(rows.weight) else np.ones(len(y))
    objective, A, theta = log_loss(Z, y, model.strength, m), matrix(Z), fitted.theta
    signs = signs_of(y, np.dtype(np.float64))
    return _Problem(
        Z,
        A,
        theta,
        objective.hessian(theta),
        objective.gradient(theta),
        np.ones(len(y)) if m is None else m,
        repeats,
        signs * wrong_class_probability(signs * A.times(theta, np.empty(len(y)))),
        np.arange(len(y)) if rows.group is None else np.unique(rows.group[chosen], return_inverse=True)[1],
    )


def _order(rows: TrainingRows, size: int, choices: Sequence[range]) -> list[int]:
    """The intercept, the features and, last, the most frequent one of each choice, which is the combination to be found."""
    choices = [choice for choice in choices if choice]
    last = set[int]()
    if choices:
        times = (np.ones(len(rows.y)) if rows.weight is None else rows.weight) @ rows.X
        last = {choice.start + int(times[choice.start : choice.stop].argmax()) for choice in choices}
    return [size - 1, *sorted(range(size - 1), key=lambda j: j in last)]


def independent(H: Array, order: Sequence[int]) -> tuple[list[int], Array]:
    """Of the columns of a Gram matrix H (k, k), in this order, those that are no combination of the ones before, and the upper
    Cholesky factor of H for them."""
    from scipy.linalg import solve_triangular
    from scipy.linalg.lapack import dpotrf

    unit = np.sqrt(np.diag(H))
    unit[unit == 0] = 1
    scaled_H = H / (unit[:, None] * unit)
    chosen = list(order)
    upper, failure = dpotrf(scaled_H[np.ix_(chosen, chosen)])
    if failure or np.square(np.diag(upper)).min() < MIN_PIVOT:
        lower, chosen = np.zeros_like(H), []
        for j in order:
            k = len(chosen)
            row = solve_triangular(lower[:k, :k], scaled_H[chosen, j], lower=True) if k else np.empty(0)
            pivot = scaled_H[j, j] - row @ row
            if pivot >= MIN_PIVOT:
                lower[k, :k], lower[k, k] = row, np.sqrt(pivot)
                chosen.append(j)
        upper = lower.T[: len(chosen), : len(chosen)]
    return chosen, np.asfortranarray(upper * unit[chosen])


def _distance(problem: _Problem, chosen: Sequence[int], factor: Array) -> float:
    """From the optimum, in standard errors: the Newton decrement of the sum over the rows."""
    gradient = problem.gradient[chosen]
    return float(np.sqrt(problem.f.sum() * (gradient @ solved(factor, gradient))))


def _wald(
    problem: _Problem,
    fitted: LinearModel,
    chosen: Sequence[int],
    factor: Array,
    method: str,
    names: Sequence[str],
    choices: Sequence[range],
) -> Inference:
    """The levels of a choice that has one too many for all to be known are those against its most frequent one, as with R's
    treatment contrasts; other columns that are combinations are left out, as R's `glm` does."""
    from scipy.special import ndtri

    size = len(problem.theta)
    left_out = sorted({*range(size)} - {*chosen})
    combinations = solved(factor, problem.hessian[np.ix_(chosen, left_out)])  # A[:, left_out] = A[:, chosen] @ combinations
    theta = np.zeros(size)
    theta[chosen] = problem.theta[chosen] + combinations @ problem.theta[left_out]
    value = np.append(*LinearModel.at(theta, fitted.mean, fitted.scale).raw_weights())
    units = np.diag(1 / np.append(fitted.scale, 1.0))
    units[-1, :-1] = -fitted.mean / fitted.scale
    L = units[np.ix_(chosen, chosen)]
    error = np.full(size, np.nan)
    error[chosen] = np.sqrt(((L @ _covariance(problem, chosen, factor, method)) * L).sum(axis=1))
    against = _references(chosen, left_out, combinations, np.append(fitted.scale, 1.0), choices)
    aliased = [j for j in left_out if j not in against.values()]
    value[aliased] = np.nan
    sentence = SENTENCES.get(method, f"standard errors by {method}, which allow for a wrong model of the variance")
    if aliased:
        which = join_limited([names[j] for j in aliased])
        sentence += f"; nothing is known of {which}, which other columns determine: the others are those of a model without"
    width = ndtri(TAILS[1]) * error
    return Inference(method, sentence, value, value - width, value + width, error, against)


def _references(
    chosen: Sequence[int], left_out: Sequence[int], combinations: Array, scale: Array, choices: Sequence[range]
) -> dict[int, int]:
    """By the position of a weight, that of the one left out of its choice, where it has become the difference to this alone.

    scale (d+1,): one unit of what `combinations` are of.
    """
    choice_of = {j: i for i, choice in enumerate(choices) for j in choice}
    found: dict[int, int] = {}
    for j, row in zip(chosen, combinations, strict=True):
        (columns,) = np.nonzero(abs(row) > ROUNDING)
        if j in choice_of and len(columns) == 1:
            reference = left_out[columns[0]]
            factor = row[columns[0]] * scale[reference] / scale[j]
            if choice_of[j] == choice_of.get(reference) and abs(factor + 1) < ROUNDING:
                found[j] = reference
    return found


def _covariance(problem: _Problem, chosen: Sequence[int], factor: Array, method: str) -> Array:
    """Of the weights that are chosen, on the scale that was trained on (k, k)."""
    total, k = problem.f.sum(), len(chosen)
    inverse = solved(factor, np.eye(k))
    if method == CLASSIC:
        return inverse / total
    bread = inverse / problem.n
    if method == CLUSTER:
        sums = _sums(problem, problem.unit)[:, chosen]
        groups = len(sums)
        return bread @ (sums.T @ sums) @ bread * (groups / (groups - 1) * (total - 1) / (total - k))
    squares = np.square(problem.m * problem.u) / problem.f
    if method in LEVERAGE_POWER:
        squares /= (1 - _leverages(problem, chosen, factor)) ** LEVERAGE_POWER[method]
    meat = np.zeros_like(problem.hessian)
    for rows in problem.blocks():
        meat += problem.A.take(rows).gram(squares[rows])
    return bread @ meat[np.ix_(chosen, chosen)] @ bread * (total / (total - k) if method == "HC1" else 1.0)


def _leverages(problem: _Problem, chosen: Sequence[int], factor: Array) -> Array:
    """h (n,), of one of the rows that a row counts as."""
    root = np.zeros((len(problem.theta), len(chosen)))
    root[chosen] = np.linalg.inv(factor) / np.sqrt(problem.n)  # its product with its transpose is the inverse
    sizes = [
        np.square(A.times(root, np.empty((A.shape[0], len(chosen))))).sum(axis=1)
        for A in (problem.A.take(rows) for rows in problem.blocks())
    ]
    wrong = abs(problem.u)
    return problem.m / problem.f * wrong * (1 - wrong) * np.concatenate(sizes)


def _sums(problem: _Problem, unit: NDArray[np.int64]) -> Array:
    """The sum of m u a over the rows of each unit (units, d+1). unit (n,): that of each row."""
    from scipy.sparse import csr_array

    scores = problem.m * problem.u
    by_unit = csr_array((scores, (unit, np.arange(problem.n))), shape=(int(unit.max()) + 1, problem.n))
    sums = by_unit @ problem.Z
    return np.column_stack([sums if isinstance(sums, np.ndarray) else sums.toarray(), by_unit.sum(axis=1)])


def _bootstrapped(problem: _Problem, fitted: LinearModel, chosen: Sequence[int], factor: Array, model: Logistic) -> Inference:
    """Rows, or groups, are drawn with equal chances and bring their weights; many are drawn in MAX_UNITS bins."""
    rng = np.random.default_rng(model.seed)
    unit = problem.unit
    if (units := int(unit.max()) + 1) > MAX_UNITS:
        unit, units = (rng.permutation(units) % MAX_UNITS)[unit], MAX_UNITS
    counts = drawn_counts(rng, units, RESAMPLES).astype(np.float64)
    slopes = counts @ _sums(problem, unit) / (counts @ np.bincount(unit, problem.m))[:, None]
    penalty = np.append(np.full(len(fitted.w), model.strength), 0.0)
    gradients = penalty * problem.theta - slopes
    theta = np.empty_like(gradients)
    theta[:, chosen] = problem.theta[chosen] - solved(factor, gradients[:, chosen].T).T
    theta[:, :-1] /= fitted.scale
    theta[:, -1] -= theta[:, :-1] @ fitted.mean
    ends = np.quantile(theta, TAILS, axis=0)
    low, high = np.where(np.ptp(theta, axis=0) > 0, ends, np.nan)  # of a constant column nothing is known
    return Inference(BOOTSTRAP, SENTENCES[BOOTSTRAP], np.append(*fitted.raw_weights()), low, high, np.full(len(low), np.nan))
