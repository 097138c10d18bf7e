"""The objective in torch: nn.Linear and autograd. Imported only where a torch model is trained."""

import warnings
from collections.abc import Callable
from copy import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipeline.arrays import Array, Features
from pipeline.errors import ConfigError
from pipeline.learning.matrix import matrix
from pipeline.learning.objective import Objective


def choose_device(name: str, dtype: str) -> torch.device:
    """The device of this name; `auto` is CUDA, else MPS, else the CPU. Raises ConfigError where this machine lacks it."""
    has_mps = torch.backends.mps.is_available() and dtype == "float32"
    available = [*["cuda"] * torch.cuda.is_available(), *["mps"] * has_mps, "cpu"]
    if name == "auto":
        name = available[0]
    if name not in available:
        raise ConfigError(f"model.device must be auto or one of {', '.join(available)} for {dtype} here; got {name}")
    return torch.device(name)


class TorchLogLoss(Objective):
    """The objective by autograd, for X (n, d), an array or SciPy's CSR, labels y (n,) in {0, 1} and row weights m (n,)."""

    def __init__(
        self,
        X: Features,
        y: Array,
        l2: float = 0.0,
        device: str = "cpu",
        compile: bool = False,
        m: Array | None = None,
    ) -> None:
        # One thread: torch's sums in another order would give other bits.
        torch.set_num_threads(1)
        self._device = choose_device(device, str(X.dtype))
        self.module = nn.Linear(X.shape[1], 1, dtype=torch.from_numpy(y).dtype).to(self._device)
        self._call = torch.compile(self.module) if compile else self.module
        self._l2 = l2
        self._set(X, y, None if m is None else m.astype(X.dtype, copy=False))

    def _set(self, X: Features, y: Array, m: Array | None) -> None:
        self.n, self._features, self._labels, self._weights = len(y), X, y, m
        self._X, self._y = _tensor(X).to(self._device), torch.from_numpy(y)[:, None].to(self._device)
        self._m = None if m is None else torch.from_numpy(m)[:, None].to(self._device)

    def rows(self, index: NDArray[np.intp]) -> "TorchLogLoss":
        part = copy(self)  # with the same module
        part._set(self._features[index], self._labels[index], None if self._weights is None else self._weights[index])
        return part

    @property
    def theta(self) -> Array:
        """The module's parameters [w, b] (d+1,), a copy."""
        return _joined(self.module.weight, self.module.bias)

    @theta.setter
    def theta(self, value: Array) -> None:
        point = torch.from_numpy(np.ascontiguousarray(value))
        with torch.no_grad():
            self.module.weight.copy_(point[None, :-1])
            self.module.bias.copy_(point[-1:])

    @property
    def parameter_gradient(self) -> Array:
        """What `backward` left at the module's parameters (d+1,), a copy."""
        weight, bias = self.module.weight.grad, self.module.bias.grad
        assert weight is not None
        assert bias is not None
        return _joined(weight, bias)

    def _of(self, z: Tensor, w: Tensor) -> Tensor:
        """The objective, from log-odds z (n, 1) and weights w: a scalar tensor that autograd can differentiate."""
        loss = functional.binary_cross_entropy_with_logits(z, self._y, self._m)
        return loss + self._l2 / 2 * w.square().sum() if self._l2 else loss

    def _at_parameters(self) -> Tensor:
        return self._of(self._call(self._X), self.module.weight)

    def _at(self, point: Tensor) -> Tensor:
        """The objective as a function of theta, for second derivatives."""
        return self._of(self._X @ point[:-1, None] + point[-1], point[:-1])

    def backward(self) -> float:
        """The loss; leaves the gradient at the module's parameters in their `grad`."""
        self.module.weight.grad = self.module.bias.grad = None  # faster than zero_grad
        loss = self._at_parameters()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def loss(self, theta: Array) -> float:
        self.theta = theta
        with torch.no_grad():
            return float(self._at_parameters())

    def loss_and_gradient(self, theta: Array) -> tuple[float, Array]:
        self.theta = theta
        return self.backward(), self.parameter_gradient

    def hessian(self, theta: Array) -> Array:
        point = torch.from_numpy(theta).to(self._device)
        hessian: Tensor = torch.autograd.functional.hessian(self._at, point)  # type: ignore[no-untyped-call]
        return hessian.cpu().numpy()

    def hessian_times(self, theta: Array) -> Callable[[Array], Array]:
        point = torch.from_numpy(theta).to(self._device).requires_grad_()
        (slope,) = torch.autograd.grad(self._at(point), point, create_graph=True)

        def product(v: Array) -> Array:
            direction = torch.from_numpy(v).to(self._device)
            return torch.autograd.grad(slope, point, direction, retain_graph=True)[0].cpu().numpy()

        return product

    def curvatures(self) -> Array:
        A = matrix(self._features)
        ones = np.ones(self.n, A.dtype) if self._weights is None else self._weights
        curvatures = np.stack([A.squares(self._weights), A.transposed_times(ones)]) / (4 * self.n)
        curvatures[0, :-1] += self._l2
        return curvatures.astype(self._features.dtype)


def _joined(weight: Tensor, bias: Tensor) -> Array:
    return np.concatenate([weight.detach().cpu().numpy()[0], bias.detach().cpu().numpy()])


def _tensor(X: Features) -> Tensor:
    """X as a tensor that shares its memory where it may be written to."""
    if isinstance(X, np.ndarray):
        return torch.from_numpy(X if X.flags.writeable else X.copy())
    indptr, indices, data = (torch.from_numpy(part) for part in (X.indptr, X.indices, X.data))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse", UserWarning)  # CSR is in beta, and tested here
        return torch.sparse_csr_tensor(indptr, indices, data, size=X.shape)
