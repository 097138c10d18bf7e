"""Limited-memory BFGS."""

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Array
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import Optimizer, State
from pipeline.learning.optimizers._line_search import bfgs_step, evaluated, require_no_overflow, without_memory
from pipeline.limits import check_at_least


@dataclass(frozen=True)
class LBFGS(Optimizer):
    """Limited-memory BFGS with a backtracking line search; with `diagonal`, on columns scaled by the objective's curvatures,
    which pays where columns differ by orders of magnitude."""

    tol: float = 1e-8
    memory: int = 10
    diagonal: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("memory", self.memory, 1)

    def start(self, f: Objective, theta: Array) -> State:
        state = {**evaluated(f, theta), **without_memory(theta)}
        if self.diagonal:
            curvatures = f.curvatures()
            floor = np.finfo(theta.dtype).eps * curvatures.max()
            state["curvatures"] = np.maximum(curvatures, floor).astype(theta.dtype)
            require_no_overflow(state["curvatures"], "a diagonal metric")
        return state

    def step(self, f: Objective, state: State, epoch: int) -> State | None:
        metric = (lambda q: q / state["curvatures"]) if self.diagonal else None
        return bfgs_step(f, state, self.memory, metric)
