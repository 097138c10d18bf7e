"""Optimizers: one frozen dataclass each, whose fields are its hyperparameters and the schema of conf/optimizer/<name>.yaml.

`start` makes the state at the initial point and `step` returns the state one epoch later. A state is a plain dict of arrays;
state["theta"] is the point, and state["gradient"], where a method knows it, the full gradient there. Nothing here logs.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.numerics import require
from pipeline.numerics.objective import Array, Objective

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
        """Stop when max |gradient| is at most this; 0 never stops early."""

    def start(self, f: Objective, theta: Array) -> State:
        """The state at theta (d+1,)."""

    def step(self, f: Objective, state: State, epoch: int) -> State:
        """The state after one epoch; the very same object when no further progress can be represented."""


def _check_common(o: Optimizer) -> None:
    require(o.epochs >= 0, f"epochs must be >= 0; got {o.epochs}")
    require(o.record_every >= 1, f"record_every must be >= 1; got {o.record_every}")
    require(o.tol >= 0, f"tol must be >= 0; got {o.tol}")


def _check_lr(lr: float) -> None:
    require(0 < lr < float("inf"), f"lr must be > 0 and finite; got {lr}")


def _check_unit(name: str, value: float) -> None:
    require(0 <= value < 1, f"{name} must be in [0, 1); got {value}")


def _check_momentum(momentum: float, nesterov: bool) -> None:
    _check_unit("momentum", momentum)
    require(momentum > 0 or not nesterov, f"nesterov needs momentum > 0; got momentum {momentum}")


def _descend(state: State, gradient: Array, lr: float, momentum: float, nesterov: bool) -> State:
    """One update of gradient descent with (Nesterov) momentum, in torch.optim.SGD's convention."""
    if momentum == 0:
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
        return {"theta": theta, "velocity": np.zeros_like(theta), "gradient": f.gradient(theta)}

    def step(self, f: Objective, state: State, epoch: int) -> State:
        state = _descend(state, state["gradient"], self.lr, self.momentum, self.nesterov)
        return {**state, "gradient": f.gradient(state["theta"])}


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
        require(self.decay >= 0, f"decay must be >= 0; got {self.decay}")
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
        require(self.eps > 0, f"eps must be > 0; got {self.eps}")

    def start(self, f: Objective, theta: Array) -> State:
        zeros = np.zeros_like(theta)
        return {"theta": theta, "mean": zeros, "square": zeros, "gradient": f.gradient(theta)}

    def step(self, f: Objective, state: State, epoch: int) -> State:
        gradient, t = state["gradient"], epoch + 1
        mean = self.beta1 * state["mean"] + (1 - self.beta1) * gradient
        square = self.beta2 * state["square"] + (1 - self.beta2) * gradient**2
        scale = np.sqrt(square) / math.sqrt(1 - self.beta2**t) + self.eps
        theta = state["theta"] - self.lr / (1 - self.beta1**t) * mean / scale
        return {"theta": theta, "mean": mean, "square": square, "gradient": f.gradient(theta)}


def _search_line(f: Objective, state: State, direction: Array, length: float) -> State | None:
    """A point along a descent direction with a sufficient decrease (Armijo), or None where rounding allows no progress.

    Where two losses differ by rounding alone, a smaller gradient decides instead.
    """
    loss, slope = float(state["loss"]), float(state["gradient"] @ direction)
    rounding, steepest = 10 * float(np.finfo(direction.dtype).eps) * abs(loss), np.abs(state["gradient"]).max()
    while slope < 0:
        theta = state["theta"] + np.asarray(length, direction.dtype) * direction
        gradient = f.gradient(theta)
        new = f.loss(theta)
        flat = abs(new - loss) <= rounding and np.abs(gradient).max() < steepest
        if flat or new <= loss + 1e-4 * length * slope:
            return {"theta": theta, "gradient": gradient, "loss": np.asarray(new)}
        if np.array_equal(theta, state["theta"]):
            break
        excess = new - loss - length * slope
        length *= min(0.5, max(0.1, -0.5 * length * slope / excess)) if np.isfinite(excess) and excess > 0 else 0.1
    return None


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS: the two-loop recursion (Nocedal and Wright, algorithm 7.4) and a backtracking line search."""

    epochs: int = 500
    record_every: int = 1
    tol: float = 1e-8
    memory: int = 10

    def __post_init__(self) -> None:
        _check_common(self)
        require(self.memory >= 1, f"memory must be >= 1; got {self.memory}")

    def start(self, f: Objective, theta: Array) -> State:
        gradient = f.gradient(theta)
        empty = np.empty((0, len(theta)), theta.dtype)
        return {"theta": theta, "gradient": gradient, "loss": np.asarray(f.loss(theta)), "s": empty, "y": empty}

    def step(self, f: Objective, state: State, epoch: int) -> State:
        s, y, gradient = state["s"], state["y"], state["gradient"]
        length = 1.0 if len(s) else 1.0 / max(1.0, float(np.abs(gradient).sum()))
        new = _search_line(f, state, -self._inverse_hessian_times(gradient, s, y), length)
        if new is None:
            return state
        ds, dy = new["theta"] - state["theta"], new["gradient"] - gradient
        if ds @ dy > np.finfo(ds.dtype).eps * (dy @ dy):
            s, y = np.vstack([s, ds])[-self.memory :], np.vstack([y, dy])[-self.memory :]
        return {**new, "s": s, "y": y}

    def _inverse_hessian_times(self, gradient: Array, s: Array, y: Array) -> Array:
        q, alphas = gradient.copy(), []
        for si, yi in zip(s[::-1], y[::-1], strict=True):
            alphas.append((si @ q) / (si @ yi))
            q -= alphas[-1] * yi
        if len(s):
            q *= (s[-1] @ y[-1]) / (y[-1] @ y[-1])
        for si, yi, alpha in zip(s, y, reversed(alphas), strict=True):
            q += (alpha - (yi @ q) / (si @ yi)) * si
        return q


@dataclass(frozen=True)
class Newton:
    """Newton's method with a backtracking line search; a singular Hessian is damped until its Cholesky factor exists."""

    epochs: int = 50
    record_every: int = 1
    tol: float = 1e-10

    def __post_init__(self) -> None:
        _check_common(self)

    def start(self, f: Objective, theta: Array) -> State:
        return {"theta": theta, "gradient": f.gradient(theta), "loss": np.asarray(f.loss(theta))}

    def step(self, f: Objective, state: State, epoch: int) -> State:
        direction = -_solve_damped(f.hessian(state["theta"]), state["gradient"])
        return _search_line(f, state, direction, 1.0) or state


def _solve_damped(H: Array, g: Array) -> Array:
    """x with (H + damping diag) x = g, for the smallest damping that makes H numerically positive definite."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    H = H.astype(np.float64)
    scale = np.diag(H).max() or 1.0
    for damping in [0.0, *(10.0**k for k in range(-12, 3))]:
        try:
            factor = cho_factor(H + damping * scale * np.eye(len(H)))
        except LinAlgError:
            continue
        return np.asarray(cho_solve(factor, g.astype(np.float64)).astype(g.dtype))
    raise LinAlgError("the Hessian is not finite")


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "gd": GradientDescent,
    "sgd": StochasticGradientDescent,
    "adam": Adam,
    "lbfgs": LBFGS,
    "newton": Newton,
}
