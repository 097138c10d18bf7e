"""Limited-memory BFGS."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.arrays import Array
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import Optimizer, State
from pipeline.learning.optimizers._line_search import bfgs_step, centred_solve, evaluated, require_no_overflow, without_memory
from pipeline.limits import check_at_least


@dataclass(frozen=True)
class LBFGS(Optimizer):
    """Limited-memory BFGS with a backtracking line search; with `diagonal`, on columns centred and scaled by the objective's
    curvatures, which pays where columns are not centred, such as sparse ones, or differ by orders of magnitude."""

    tol: float = 1e-8
    memory: int = 10
    diagonal: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("memory", self.memory, 1)

    def start(self, f: Objective, theta: Array) -> State:
        state = {**evaluated(f, theta), **without_memory(theta)}
        if self.diagonal:
            state["curvatures"] = f.curvatures().astype(theta.dtype)
            require_no_overflow(state["curvatures"], "a diagonal metric")
        return state

    def step(self, f: Objective, state: State, epoch: int) -> State | None:
        return bfgs_step(f, state, self.memory, self._metric(state) if self.diagonal else None)

    def _metric(self, state: State) -> Callable[[Array], Array]:
        """The approximate inverse Hessian that the last step's curvature scales."""
        curvatures, scale = state["curvatures"], 1.0
        if len(state["s"]):
            s, y = state["s"][-1], state["y"][-1]
            scale = float(s @ y) / float(y @ centred_solve(curvatures, y))
        return lambda g: scale * centred_solve(curvatures, g)
