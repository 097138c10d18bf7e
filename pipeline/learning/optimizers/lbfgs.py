"""Limited-memory BFGS."""

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Array
from pipeline.errors import ConfigError
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import Optimizer, State, check_limits
from pipeline.learning.optimizers._line_search import evaluated, require_finite
from pipeline.learning.optimizers._two_loop import bfgs_step, without_memory


@dataclass(frozen=True)
class LBFGS(Optimizer):
    """Limited-memory BFGS with a backtracking line search; with `diagonal`, on columns scaled by the objective's curvatures,
    which pays where columns differ by orders of magnitude."""

    epochs: int = 500
    record_every: int = 1
    tol: float = 1e-8
    memory: int = 10
    diagonal: bool = False

    def __post_init__(self) -> None:
        check_limits(self)
        if not self.memory >= 1:
            raise ConfigError(f"memory must be >= 1; got {self.memory}")

    def start(self, f: Objective, theta: Array) -> State:
        state = {**evaluated(f, theta), **without_memory(theta)}
        if self.diagonal:
            curvatures = f.curvatures()
            floor = np.finfo(theta.dtype).eps * curvatures.max()
            state["curvatures"] = np.maximum(curvatures, floor).astype(theta.dtype)
            require_finite(state["curvatures"], "a diagonal metric")
        return state

    def step(self, f: Objective, state: State, epoch: int) -> State | None:
        metric = (lambda q: q / state["curvatures"]) if self.diagonal else None
        return bfgs_step(f, state, self.memory, metric)
