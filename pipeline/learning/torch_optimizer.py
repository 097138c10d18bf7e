"""First-order optimizers run by torch.optim. Imported only where a torch model is trained."""

from collections import UserDict
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pipeline.arrays import Array
from pipeline.errors import ConfigError
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import Optimizer, State
from pipeline.learning.optimizers.adam import Adam
from pipeline.learning.optimizers.gd import GradientDescent
from pipeline.learning.optimizers.sgd import StochasticGradientDescent
from pipeline.learning.torch_objective import TorchLogLoss

BUFFERS = "optim."  # begins the names, in a state, of torch.optim's arrays


class LazyState(UserDict[str, Array]):
    """The state that the module and torch.optim are in, copied when first read, which must be before the next step."""

    def __init__(self, read: Callable[[], dict[str, Array]]) -> None:
        self._read = read

    @cached_property
    def data(self) -> dict[str, Array]:  # type: ignore[override]
        return self._read()


class TorchOptim(Optimizer):
    """A first-order optimizer run by torch.optim on the parameters of an objective's module."""

    def __init__(self, settings: Optimizer, f: TorchLogLoss, optim: torch.optim.Optimizer) -> None:
        super().__init__(settings.epochs, settings.record_every, settings.tol)
        self._settings, self._f, self._optim = settings, f, optim

    def start(self, f: Objective, theta: Array) -> State:
        loss = self._load({"theta": theta})
        return self._state(None if isinstance(self._settings, StochasticGradientDescent) else loss)

    def resume(self, f: Objective, state: State) -> State:
        self._load(state)
        return state

    def step(self, f: Objective, state: State, epoch: int) -> State:
        if isinstance(self._settings, StochasticGradientDescent):
            self._optim.param_groups[0]["lr"] = self._settings.rate(epoch)
            for rows in self._settings.batches(self._f.n, epoch):
                self._f.rows(rows).backward()
                self._optim.step()
            return self._state(None)
        self._optim.step()
        return self._state(self._f.backward())

    def _load(self, state: State) -> float:
        """Put the module and torch.optim into this state; the loss there."""
        self._f.theta = state["theta"]
        buffers: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith(BUFFERS):
                index, name = key.removeprefix(BUFFERS).split(".")
                buffers.setdefault(int(index), {})[name] = torch.tensor(value)
        self._optim.load_state_dict({**self._optim.state_dict(), "state": buffers})
        return self._f.backward()

    def _state(self, loss: float | None) -> State:
        """The state now; with the gradient that autograd has left and the loss, unless they are of a mini-batch."""

        def read() -> dict[str, Array]:
            full = {} if loss is None else {"gradient": self._f.parameter_gradient, "loss": np.asarray(loss)}
            return {"theta": self._f.theta, **full, **self._buffers()}

        return LazyState(read)

    def _buffers(self) -> dict[str, Array]:
        """torch.optim's arrays for each parameter: velocities, means and squares."""
        return {
            f"{BUFFERS}{index}.{name}": value.cpu().numpy().copy()
            for index, values in self._optim.state_dict()["state"].items()
            for name, value in values.items()
            if value is not None
        }


def torch_optimizer(optimizer: Optimizer, f: TorchLogLoss) -> Optimizer:
    """torch.optim's own where it has the method; else the NumPy method itself, fed by autograd."""
    most, parameters = torch.finfo(torch.float32).max, f.module.parameters()
    if optimizer.lr is not None and not optimizer.lr <= most:
        raise ConfigError(f"optimizer.lr must be at most {most:.3g} for torch; got {optimizer.lr}")
    match optimizer:
        case GradientDescent() | StochasticGradientDescent():
            momentum, nesterov = optimizer.momentum, optimizer.nesterov
            sgd = torch.optim.SGD(parameters, lr=optimizer.lr, momentum=momentum, nesterov=nesterov, fused=True)
            return TorchOptim(optimizer, f, sgd)
        case Adam(lr=lr, beta1=beta1, beta2=beta2, eps=eps):
            return TorchOptim(optimizer, f, torch.optim.Adam(parameters, lr=lr, betas=(beta1, beta2), eps=eps))
        case _:
            return optimizer
