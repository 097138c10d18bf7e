"""First-order optimizers run by torch.optim. Imported only where a torch model is trained."""

from collections import UserDict
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

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
    """A first-order optimizer run by torch.optim's functions on the parameters of an objective's module.

    Not by its classes: they import torch's compiler, which takes as long as torch itself.
    """

    def __init__(self, settings: GradientDescent | StochasticGradientDescent | Adam, f: TorchLogLoss) -> None:
        super().__init__(settings.epochs, settings.record_every, settings.tol)
        self._settings, self._f = settings, f
        self._parameters: list[Tensor] = list(f.module.parameters())

    def start(self, f: Objective, theta: Array) -> State:
        loss = self._load({"theta": theta})
        return self._state(None if isinstance(self._settings, StochasticGradientDescent) else loss)

    def resume(self, f: Objective, state: State) -> State:
        self._load(state)
        return state

    def step(self, f: Objective, state: State, epoch: int) -> State:
        if isinstance(self._settings, StochasticGradientDescent):
            for rows in self._settings.batches(self._f.n, epoch):
                self._f.rows(rows).backward()
                self._update(self._settings.rate(epoch))
            return self._state(None)
        self._update(self._settings.lr)
        return self._state(self._f.backward())

    @torch.no_grad()
    def _update(self, lr: float) -> None:
        """A step along the gradient that autograd has left at the parameters."""
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        method, buffers = self._settings, self._buffers
        if isinstance(method, Adam):
            adam(
                *(self._parameters, gradients, buffers["exp_avg"], buffers["exp_avg_sq"], [], buffers["step"]),
                amsgrad=False,
                beta1=method.beta1,
                beta2=method.beta2,
                lr=lr,
                weight_decay=0.0,
                eps=method.eps,
                maximize=False,
            )
        else:
            sgd(
                *(self._parameters, gradients, buffers.get("momentum_buffer", [])),
                fused=True,
                weight_decay=0.0,
                momentum=method.momentum,
                lr=lr,
                dampening=0.0,
                nesterov=method.nesterov,
                maximize=False,
            )

    def _load(self, state: State) -> float:
        """Put the module and the buffers into this state; the loss there."""
        self._f.theta = state["theta"]
        self._buffers = _zeros(self._settings, self._parameters)
        for key, buffer in self._named_buffers():
            if key in state:
                buffer.copy_(torch.tensor(state[key]))
        return self._f.backward()

    def _state(self, loss: float | None) -> State:
        """The state now; with the gradient that autograd has left and the loss, unless they are of a mini-batch."""

        def read() -> dict[str, Array]:
            full = {} if loss is None else {"gradient": self._f.parameter_gradient, "loss": np.asarray(loss)}
            buffers = {key: buffer.cpu().numpy().copy() for key, buffer in self._named_buffers()}
            return {"theta": self._f.theta, **full, **buffers}

        return LazyState(read)

    def _named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        for name, buffers in self._buffers.items():
            yield from ((f"{BUFFERS}{i}.{name}", buffer) for i, buffer in enumerate(buffers))


def _zeros(settings: GradientDescent | StochasticGradientDescent | Adam, parameters: list[Tensor]) -> dict[str, list[Any]]:
    """torch.optim's arrays for each parameter at the start: means, squares and number of steps, or velocities."""
    names = ["exp_avg", "exp_avg_sq"] if isinstance(settings, Adam) else ["momentum_buffer"] if settings.momentum else []
    zeros = {name: [torch.zeros_like(parameter) for parameter in parameters] for name in names}
    return {**zeros, "step": [torch.zeros(()) for _ in parameters]} if isinstance(settings, Adam) else zeros


def torch_optimizer(optimizer: Optimizer, f: TorchLogLoss) -> Optimizer:
    """torch.optim's own where it has the method; else the NumPy method itself, fed by autograd."""
    most = torch.finfo(torch.float32).max
    if optimizer.lr is not None and not optimizer.lr <= most:
        raise ConfigError(f"optimizer.lr must be at most {most:.3g} for torch; got {optimizer.lr}")
    if isinstance(optimizer, GradientDescent | StochasticGradientDescent | Adam):
        return TorchOptim(optimizer, f)
    return optimizer
