"""First-order optimizers run by torch.optim. Imported only where a torch model is trained."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.arrays import Array
from pipeline.errors import DataError
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import Optimizer, State
from pipeline.learning.optimizers.adam import Adam
from pipeline.learning.optimizers.gd import GradientDescent
from pipeline.learning.optimizers.sgd import StochasticGradientDescent
from pipeline.learning.torch_objective import TorchLogLoss

BUFFERS = "optim."  # begins the names, in a state, of torch.optim's arrays


class LazyState(Mapping[str, Array]):
    """The state that the module and torch.optim are in, copied at the first look, which must be before the next step."""

    def __init__(self, read: Callable[[], State]) -> None:
        self._read = read

    @cached_property
    def _arrays(self) -> State:
        return self._read()

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


class TorchOptim(Optimizer):
    """A first-order optimizer run by torch.optim on the module's own parameters, one fit at a time."""

    def __init__(self, settings: Optimizer, make: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]) -> None:
        self._settings, self._make = settings, make

    @property
    def epochs(self) -> int:
        return self._settings.epochs

    @property
    def record_every(self) -> int:
        return self._settings.record_every

    @property
    def tol(self) -> float:
        return self._settings.tol

    def start(self, f: Objective, theta: Array) -> State:
        assert isinstance(f, TorchLogLoss)
        loss = self._load(f, {"theta": theta})
        return self._state(f, None if isinstance(self._settings, StochasticGradientDescent) else loss)

    def resume(self, f: Objective, state: State) -> State:
        assert isinstance(f, TorchLogLoss)
        self._load(f, state)
        return state

    def step(self, f: Objective, state: State, epoch: int) -> State:
        assert isinstance(f, TorchLogLoss)
        if isinstance(self._settings, StochasticGradientDescent):
            self._optim.param_groups[0]["lr"] = self._settings.rate(epoch)
            for rows in self._settings.batches(f.n, epoch):
                f.rows(rows).backward()
                self._optim.step()
            return self._state(f, None)
        self._optim.step()
        return self._state(f, f.backward())

    def _load(self, f: TorchLogLoss, state: State) -> float:
        """Put the module and torch.optim into this state; the loss there."""
        f.module.theta = state["theta"]
        self._optim = self._make(f.module.parameters())
        buffers: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith(BUFFERS):
                index, name = key.removeprefix(BUFFERS).split(".")
                buffers.setdefault(int(index), {})[name] = torch.from_numpy(np.asarray(value))
        self._optim.load_state_dict({**self._optim.state_dict(), "state": buffers})
        return f.backward()

    def _state(self, f: TorchLogLoss, loss: float | None) -> State:
        """The state now; with the gradient that autograd has left and the loss, unless they are of a mini-batch."""

        def read() -> State:
            full = {} if loss is None else {"gradient": f.module.gradient, "loss": np.asarray(loss)}
            return {"theta": f.module.theta, **full, **self._buffers()}

        return LazyState(read)

    def _buffers(self) -> State:
        """torch.optim's arrays for each parameter: velocities, means and squares."""
        return {
            f"{BUFFERS}{index}.{name}": value.cpu().numpy().copy()
            for index, values in self._optim.state_dict()["state"].items()
            for name, value in values.items()
            if value is not None
        }


def torch_optimizer(optimizer: Optimizer) -> Optimizer:
    """torch.optim's own where it has the method; else the NumPy method itself, fed by autograd."""
    most = torch.finfo(torch.float32).max
    if optimizer.lr is not None and not optimizer.lr <= most:
        raise DataError(f"optimizer.lr must be at most {most:.3g} for torch")
    match optimizer:
        case (
            GradientDescent(lr=lr, momentum=momentum, nesterov=nesterov)
            | StochasticGradientDescent(lr=lr, momentum=momentum, nesterov=nesterov)
        ):
            return TorchOptim(optimizer, lambda p: torch.optim.SGD(p, lr=lr, momentum=momentum, nesterov=nesterov, fused=True))
        case Adam(lr=lr, beta1=beta1, beta2=beta2, eps=eps):
            return TorchOptim(optimizer, lambda p: torch.optim.Adam(p, lr=lr, betas=(beta1, beta2), eps=eps))
        case _:
            return optimizer
