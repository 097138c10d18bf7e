"""Optimizers: one frozen dataclass each, whose fields are its hyperparameters and the schema of conf/optimizer/<name>.yaml.

`start` makes the state at the initial point and `step` returns the state one epoch later. A state is a plain dict of arrays;
state["theta"] is the point, and state["gradient"], where a method knows it, the full gradient there. Nothing here logs.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.numerics import require
from pipeline.numerics.matrix import Array
from pipeline.numerics.objective import Objective

State = dict[str, Array]


class Optimizer(Protocol):
    """What `models.fit` needs of an optimizer."""

    @property
    def epochs(self) -> int:
        """The most epochs (passes or iterations) to run."""

    @property
    def record_every(self) -> int:
        """Record the loss every so many epochs."""

    @property
    def tol(self) -> float:
        """Stop when max |gradient| is at most this (sgd looks where it records); 0 never stops early."""

    def start(self, f: Objective, theta: Array) -> State:
        """The state at theta (d+1,)."""

    def step(self, f: Objective, state: State, epoch: int) -> State:
        """The state after one epoch; the very same object when no further progress can be represented."""


def _check_common(o: "Optimizer | Auto") -> None:
    require(o.epochs >= 1, f"epochs must be >= 1; got {o.epochs}")
    require(o.record_every >= 1, f"record_every must be >= 1; got {o.record_every}")
    require(0 <= o.tol < math.inf, f"tol must be >= 0 and finite; got {o.tol}")


def _check_lr(lr: float) -> None:
    require(0 < lr < math.inf, f"lr must be > 0 and finite; got {lr}")


def _check_unit(name: str, value: float) -> None:
    require(0 <= value < 1, f"{name} must be in [0, 1); got {value}")


def _check_momentum(momentum: float, nesterov: bool) -> None:
    _check_unit("momentum", momentum)
    require(momentum > 0 or not nesterov, f"nesterov needs momentum > 0; got momentum {momentum}")


def _look(o: Optimizer, f: Objective, theta: Array, epoch: int) -> State:
    """theta with its gradient, and with its loss where that is to be recorded."""
    if epoch % o.record_every:
        return {"theta": theta, "gradient": f.gradient(theta)}
    loss, gradient = f.loss_and_gradient(theta)
    return {"theta": theta, "gradient": gradient, "loss": loss}


def _descend(state: State, gradient: Array, lr: float, momentum: float, nesterov: bool) -> State:
    """One update of gradient descent with (Nesterov) momentum, in torch.optim.SGD's convention."""
    if isinstance(momentum, float) and momentum == 0:
        return {"theta": state["theta"] - lr * gradient}
    velocity = momentum * state["velocity"] + gradient
    direction = gradient + momentum * velocity if nesterov else velocity
    return {"theta": state["theta"] - lr * direction, "velocity": velocity}


@dataclass(frozen=True)
class GradientDescent:
    """Full-batch gradient descent."""

    lr: float = 0.1
    epochs: int = 100
    record_every: int = 10
    tol: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        _check_common(self)
        _check_lr(self.lr)
        _check_momentum(self.momentum, self.nesterov)

    def start(self, f: Objective, theta: Array) -> State:
        return {"velocity": np.zeros_like(theta), **_look(self, f, theta, 0)}

    def step(self, f: Objective, state: State, epoch: int) -> State:
        moved = _descend(state, state["gradient"], self.lr, self.momentum, self.nesterov)
        return {**moved, **_look(self, f, moved["theta"], epoch + 1)}


@dataclass(frozen=True)
class StochasticGradientDescent:
    """Mini-batches in a new seeded order every epoch, at the rate lr / (1 + decay * epoch)."""

    lr: float = 0.3
    epochs: int = 100
    record_every: int = 1
    tol: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    batch_size: int = 32
    decay: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        _check_common(self)
        _check_lr(self.lr)
        _check_momentum(self.momentum, self.nesterov)
        require(self.batch_size >= 1, f"batch_size must be >= 1; got {self.batch_size}")
        require(0 <= self.decay < math.inf, f"decay must be >= 0 and finite; got {self.decay}")
        require(self.seed >= 0, f"seed must be >= 0; got {self.seed}")

    def rate(self, epoch: int) -> float:
        return self.lr / (1 + self.decay * epoch)

    def batches(self, n: int, epoch: int) -> Iterator[NDArray[np.intp]]:
        """The rows of each mini-batch of an epoch; a function of seed and epoch alone."""
        order = np.random.default_rng((self.seed, epoch)).permutation(n)
        return (order[i : i + self.batch_size] for i in range(0, n, self.batch_size))

    def start(self, f: Objective, theta: Array) -> State:
        return {"theta": theta, "velocity": np.zeros_like(theta)}

    def step(self, f: Objective, state: State, epoch: int) -> State:
        for rows in self.batches(f.n, epoch):
            gradient = f.rows(rows).gradient(state["theta"])
            state = _descend(state, gradient, self.rate(epoch), self.momentum, self.nesterov)
        return state


@dataclass(frozen=True)
class Adam:
    """Full-batch Adam (Kingma and Ba 2015, algorithm 1), in torch.optim.Adam's convention."""

    lr: float = 0.1
    epochs: int = 500
    record_every: int = 10
    tol: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _check_common(self)
        _check_lr(self.lr)
        _check_unit("beta1", self.beta1)
        _check_unit("beta2", self.beta2)
        require(0 < self.eps < math.inf, f"eps must be > 0 and finite; got {self.eps}")

    def start(self, f: Objective, theta: Array) -> State:
        zeros = np.zeros_like(theta)
        return {"mean": zeros, "square": zeros, **_look(self, f, theta, 0)}

    def step(self, f: Objective, state: State, epoch: int) -> State:
        gradient, t = state["gradient"], epoch + 1
        mean = self.beta1 * state["mean"] + (1 - self.beta1) * gradient
        square = self.beta2 * state["square"] + (1 - self.beta2) * gradient**2
        scale = np.sqrt(square) / np.sqrt(1 - self.beta2**t) + self.eps
        theta = state["theta"] - self.lr / (1 - self.beta1**t) * mean / scale
        return {"mean": mean, "square": square, **_look(self, f, theta.astype(mean.dtype, copy=False), t)}


def _search_line(f: Objective, state: State, direction: Array, length: float = 1.0) -> State | None:
    """A point along a descent direction with a sufficient decrease (Armijo), or None where rounding allows no progress.

    Where two losses differ by rounding alone, a smaller gradient decides instead. state["least"] is the least max |gradient| so
    far, and state["stalled"] how many steps in a row brought neither a loss lower than by rounding nor a new least gradient.
    """
    loss, slope = float(state["loss"]), float(state["gradient"] @ direction)
    rounding, least = float(np.finfo(direction.dtype).eps) * abs(loss), float(state["least"])
    while slope < 0:
        theta = state["theta"] + np.asarray(length, direction.dtype) * direction
        new, gradient = f.loss_and_gradient(theta)
        norm = float(np.abs(gradient).max())
        if new <= loss + 1e-4 * length * slope or (abs(new - loss) <= 10 * rounding and norm < least):
            stalled = 0 if new < loss - rounding or norm < least else int(state["stalled"]) + 1
            if stalled > MOST_STALLED:
                break
            return {"theta": theta, "gradient": gradient, "loss": new, **_progress(min(norm, least), stalled)}
        if np.array_equal(theta, state["theta"]):
            break
        excess = new - loss - length * slope
        length *= min(0.5, max(0.1, -0.5 * length * slope / excess)) if np.isfinite(excess) and excess > 0 else 0.1
    return None


def _progress(least: float, stalled: int) -> State:
    return {"least": np.asarray(least), "stalled": np.asarray(stalled)}


def _look_closely(f: Objective, theta: Array) -> State:
    """theta with its loss and its gradient, where a line search may start."""
    loss, gradient = f.loss_and_gradient(theta)
    return {"theta": theta, "gradient": gradient, "loss": loss, **_progress(float(np.abs(gradient).max()), 0)}


def _bfgs_step(f: Objective, state: State, memory: int, metric: Callable[[Array], Array] | None) -> State:
    """One step of limited-memory BFGS (Nocedal and Wright, algorithm 7.4) that starts each time from `metric`, an approximate
    inverse Hessian, or without one from the last step's curvature. state["s"] and state["y"] are (steps kept, d+1)."""
    s, y, gradient = state["s"], state["y"], state["gradient"]
    q, alphas = gradient.copy(), []
    for si, yi in zip(s[::-1], y[::-1], strict=True):
        alphas.append((si @ q) / (si @ yi))
        q -= alphas[-1] * yi
    if metric:
        q = metric(q)
    elif len(s):
        q *= (s[-1] @ y[-1]) / (y[-1] @ y[-1])
    for si, yi, alpha in zip(s, y, reversed(alphas), strict=True):
        q += (alpha - (yi @ q) / (si @ yi)) * si
    length = 1.0 if metric or len(s) else 1.0 / max(1.0, float(np.abs(gradient).sum()))
    new = _search_line(f, state, -q, length)
    if new is None:
        return state
    ds, dy = new["theta"] - state["theta"], new["gradient"] - gradient
    if ds @ dy > np.finfo(ds.dtype).eps * (dy @ dy):
        s, y = np.vstack([s, ds])[-memory:], np.vstack([y, dy])[-memory:]
    return {**state, **new, "s": s, "y": y}


def _without_memory(theta: Array) -> State:
    empty = np.empty((0, len(theta)), theta.dtype)
    return {"s": empty, "y": empty}


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS with a backtracking line search; with `diagonal`, on columns scaled by the objective's curvatures,
    which pays where columns differ by orders of magnitude."""

    epochs: int = 500
    record_every: int = 1
    tol: float = 1e-8
    memory: int = 10
    diagonal: bool = False

    def __post_init__(self) -> None:
        _check_common(self)
        require(self.memory >= 1, f"memory must be >= 1; got {self.memory}")

    def start(self, f: Objective, theta: Array) -> State:
        state = {**_look_closely(f, theta), **_without_memory(theta)}
        if self.diagonal:
            curvatures = f.curvatures()
            floor = np.finfo(theta.dtype).eps * curvatures.max()
            state["curvatures"] = np.maximum(curvatures, floor).astype(theta.dtype)
        return state

    def step(self, f: Objective, state: State, epoch: int) -> State:
        metric = (lambda q: q / state["curvatures"]) if self.diagonal else None
        return _bfgs_step(f, state, self.memory, metric)


@dataclass(frozen=True)
class Newton:
    """Newton's method with a backtracking line search.

    With many more rows than `sample`, the Hessian is that of a random sample at the sample's own optimum, from which the steps
    start: it is factored once, and is then the metric of L-BFGS, whose gradients are of all rows (a fixed sub-sampled Newton:
    Byrd et al. 2011, Erdogdu and Montanari 2015). With more than `dense` columns the step is found by conjugate gradients,
    without the Hessian (Dembo, Eisenstat and Steihaug 1982). A singular Hessian is damped until its Cholesky factor exists.
    """

    epochs: int = 50
    record_every: int = 1
    tol: float = 1e-10
    sample: int = 20_000
    dense: int = 2_000
    seed: int = 0

    def __post_init__(self) -> None:
        _check_common(self)
        require(self.sample >= 1, f"sample must be >= 1; got {self.sample}")
        require(self.dense >= 0, f"dense must be >= 0; got {self.dense}")
        require(self.seed >= 0, f"seed must be >= 0; got {self.seed}")

    def start(self, f: Objective, theta: Array) -> State:
        rows = max(self.sample, 20 * len(theta))
        if f.n < SAMPLED_FROM * rows or len(theta) > self.dense:
            return _look_closely(f, theta)
        chosen = np.sort(np.random.default_rng(self.seed).choice(f.n, rows, replace=False))
        sample = f.rows(chosen)
        there = self._minimise(sample, theta, len(theta) / rows)
        factor = _factor(sample.hessian(there)).astype(theta.dtype)
        state = _look_closely(f, there)
        if not state["loss"] < (LOG_2 if not theta.any() else f.loss(theta)):  # the sample misled: few or no rows of a class
            state = _look_closely(f, theta)
        return {**state, **_without_memory(theta), "factor": factor}

    def _minimise(self, sample: Objective, theta: Array, precision: float) -> Array:
        """The sample's optimum, as exactly as it says something of all rows: to a hundredth of its own error, d/rows."""
        state = _look_closely(sample, theta)
        for _ in range(self.epochs):
            step = _solve(_factor(sample.hessian(state["theta"])), state["gradient"])
            new = _search_line(sample, state, -step)
            if new is None:
                break
            decrement, state = float(state["gradient"] @ step), new
            if decrement < precision / 100:
                break
        return state["theta"]

    def step(self, f: Objective, state: State, epoch: int) -> State:
        if "factor" in state:
            return _bfgs_step(f, state, MEMORY, lambda q: _solve(state["factor"], q))
        gradient = state["gradient"]
        if len(gradient) > self.dense:
            direction = -_conjugate_gradients(f.hessian_times(state["theta"]), gradient)
        else:
            direction = -_solve(_factor(f.hessian(state["theta"])), gradient)
        return _search_line(f, state, direction) or state


SAMPLED_FROM, MEMORY, MOST_STALLED, LOG_2 = 4, 20, 5, math.log(2)


def _factor(H: Array) -> Array:
    """The upper Cholesky factor of H + damping diag, for the smallest damping that makes H numerically positive definite."""
    from scipy.linalg.lapack import dpotrf

    H = H.astype(np.float64, copy=False)
    factor, failure = dpotrf(H)
    if not failure and math.isfinite(factor.trace()):  # NaN is no failure to LAPACK
        return np.asarray(factor)
    require(bool(np.isfinite(H).all()), "the features are too large for a Hessian; standardise them")
    largest = np.diag(H).max() or 1.0
    for exponent in range(-12, 3):
        factor, failure = dpotrf(H + 10.0**exponent * largest * np.eye(len(H)))
        if not failure:
            return np.asarray(factor)
    raise AssertionError("a finite symmetric matrix plus 100 times its greatest diagonal entry is positive definite")


def _solve(factor: Array, g: Array) -> Array:
    """(factor^T factor)^-1 g, in the factor's dtype."""
    from scipy.linalg.lapack import dpotrs, spotrs

    solve = dpotrs if factor.dtype == np.float64 else spotrs
    return np.asarray(solve(factor, g)[0], g.dtype)


def _conjugate_gradients(product: Callable[[Array], Array], g: Array) -> Array:
    """x with H x = g, as exactly as a Newton step deserves: to min(1/2, sqrt |g|) |g|."""
    x, r = np.zeros_like(g), g.copy()
    p, square = r.copy(), float(r @ r)
    enough = square * min(0.25, math.sqrt(square))
    for _ in range(2 * len(g)):
        if square <= enough:
            break
        Hp = product(p)
        bend = float(p @ Hp)
        if bend <= 0:  # by rounding: H has no direction of negative curvature
            break
        x += square / bend * p
        r -= square / bend * Hp
        square, before = float(r @ r), square
        p = r + square / before * p
    return x if x.any() else g


@dataclass(frozen=True)
class Auto:
    """The optimizer that suits the problem: see `pick`."""

    epochs: int = 500
    record_every: int = 1
    tol: float = 1e-8

    def __post_init__(self) -> None:
        _check_common(self)

    def pick(self, d: int, sparse: bool) -> Optimizer:
        """lbfgs on a diagonal metric for sparse X, newton where the Hessian is small, else lbfgs."""
        common = {"epochs": self.epochs, "record_every": self.record_every, "tol": self.tol}
        if sparse:
            return LBFGS(**common, diagonal=True)  # type: ignore[arg-type]
        if d <= 1000:
            return Newton(**common)  # type: ignore[arg-type]
        return LBFGS(**common)  # type: ignore[arg-type]


OPTIMIZERS: dict[str, type[Optimizer | Auto]] = {
    "gd": GradientDescent,
    "sgd": StochasticGradientDescent,
    "adam": Adam,
    "lbfgs": LBFGS,
    "newton": Newton,
    "auto": Auto,
}
