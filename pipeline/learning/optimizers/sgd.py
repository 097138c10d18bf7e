"""Stochastic gradient descent."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import Optimizer, State
from pipeline.learning.optimizers._descent import check_momentum, descend
from pipeline.limits import check_at_least, check_not_negative, check_positive, check_seed


@dataclass(frozen=True)
class StochasticGradientDescent(Optimizer):
    """Mini-batches in a new seeded order every epoch, at the rate lr / (1 + decay * epoch)."""

    epochs: int = 100
    lr: float = 0.3
    momentum: float = 0.0
    nesterov: bool = False
    batch_size: int = 32
    decay: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("lr", self.lr)
        check_momentum(self.momentum, self.nesterov)
        check_at_least("batch_size", self.batch_size, 1)
        check_not_negative("decay", self.decay)
        check_seed(self.seed)

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
            state = descend(state, gradient, self.rate(epoch), self.momentum, self.nesterov)
        return state
