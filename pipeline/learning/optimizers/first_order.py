"""Methods that go by gradients alone."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.errors import ConfigError
from pipeline.learning.objective import Objective, ShortLogLoss
from pipeline.learning.optimizers.protocol import Optimizer, State, check_limits

LONGEST_LEAP = 100  # epochs of a millisecond at most, so that progress still shows several times a second


def _check_lr(lr: float) -> None:
    if not 0 < lr < math.inf:
        raise ConfigError(f"lr must be > 0 and finite; got {lr}")


def _check_unit(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigError(f"{name} must be in [0, 1); got {value}")


def _check_momentum(momentum: float, nesterov: bool) -> None:
    _check_unit("momentum", momentum)
    if not (momentum > 0 or not nesterov):
        raise ConfigError(f"nesterov needs momentum > 0; got momentum {momentum}")


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
        check_limits(self)
        _check_lr(self.lr)
        _check_momentum(self.momentum, self.nesterov)

    def start(self, f: Objective, theta: Array) -> State:
        return {"velocity": np.zeros_like(theta), **_look(self, f, theta, 0)}

    def step(self, f: Objective, state: State, epoch: int) -> State:
        moved = _descend(state, state["gradient"], self.lr, self.momentum, self.nesterov)
        return {**moved, **_look(self, f, moved["theta"], epoch + 1)}

    def stride(self, epoch: int) -> int:
        """How many short epochs to take at once from this one on: more than one where nobody looks between."""
        if self.momentum or self.tol:
            return 1
        return min(self.record_every - epoch % self.record_every, self.epochs - epoch, LONGEST_LEAP)

    def leap(self, f: ShortLogLoss, state: State, epoch: int, stride: int) -> State:
        """The state that so many times `step` leads to."""
        theta = f.descend(state["theta"], state["gradient"], self.lr, stride)
        return _look(self, f, theta, epoch + stride)


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
        check_limits(self)
        _check_lr(self.lr)
        _check_momentum(self.momentum, self.nesterov)
        if not self.batch_size >= 1:
            raise ConfigError(f"batch_size must be >= 1; got {self.batch_size}")
        if not 0 <= self.decay < math.inf:
            raise ConfigError(f"decay must be >= 0 and finite; got {self.decay}")
        if not self.seed >= 0:
            raise ConfigError(f"seed must be >= 0; got {self.seed}")

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
        check_limits(self)
        _check_lr(self.lr)
        _check_unit("beta1", self.beta1)
        _check_unit("beta2", self.beta2)
        if not 0 < self.eps < math.inf:
            raise ConfigError(f"eps must be > 0 and finite; got {self.eps}")

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
