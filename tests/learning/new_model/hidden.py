"""A network with one hidden layer in PyTorch: z = tanh(((x - mean) / scale) V + a) . w + b."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipeline.arrays import Array, Features
    from pipeline.learning.model import Fit, Observer
    from pipeline.learning.optimizer import Optimizer


@dataclass(frozen=True)
class Hidden:
    """Its optimizers are those that go by the gradient alone: gd, adam, lbfgs."""

    width: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        from pipeline.errors import ConfigError

        if not self.width >= 1:
            raise ConfigError(f"width must be >= 1; got {self.width}")

    def fit(
        self,
        X: "Features",
        y: "Array",
        optimizer: "Optimizer",
        features: Sequence[str] = (),
        observer: "Observer | None" = None,
        weight: "Array | None" = None,
        classes: Sequence[Any] = (0, 1),
    ) -> "Fit":
        from pipeline.learning.epochs import DivergenceMonitor, EpochLoop
        from pipeline.learning.features import standardised
        from pipeline.learning.model import Fit, Observer
        from pipeline.learning.weights import training_rows

        X, y, m = training_rows(X, y, weight, "none", classes)
        Z, mean, scale = standardised(X, np.float64, features, m)
        monitor = DivergenceMonitor(X, optimizer.lr)
        loop = EpochLoop(_objective(Z, y, m, self.width), optimizer, monitor, observer or Observer())
        theta = np.random.default_rng(self.seed).standard_normal((X.shape[1] + 2) * self.width + 1) / 2
        state, epoch, stopped_by = loop.run(theta)
        end = loop.measure(state, epoch, is_last=True)
        V, a, w, b = _split(state["theta"], self.width)
        arrays = {"mean": mean, "scale": scale, "V": V, "a": a, "w": w, "b": b}
        return Fit(arrays, epoch, end.loss, end.gradient_norm, stopped_by, optimizer, warnings=("a network has many optima",))


def log_odds(arrays: Mapping[str, NDArray[Any]], X: Any) -> NDArray[np.float64]:
    hidden = np.tanh((X - arrays["mean"]) / arrays["scale"] @ arrays["V"] + arrays["a"])
    return np.asarray(hidden @ arrays["w"] + arrays["b"])


def _split(theta: Any, width: int) -> tuple[Any, Any, Any, Any]:
    """V (d, width), a (width,), w (width,) and b () of a vector or tensor."""
    end = len(theta) - 2 * width - 1
    return theta[:end].reshape(-1, width), theta[end : end + width], theta[end + width : -1], theta[-1]


def _objective(Z: Any, y: Any, m: Any, width: int) -> Any:
    """The weighted mean log loss by autograd; of what an optimizer may ask for, what gd, adam and lbfgs ask for."""
    import torch

    class MeanLogLoss:
        n = len(y)
        inputs, labels, weights = torch.from_numpy(Z), torch.from_numpy(y), None if m is None else torch.from_numpy(m)

        def loss(self, theta: Any) -> float:
            return self.loss_and_gradient(theta)[0]

        def gradient(self, theta: Any) -> Any:
            return self.loss_and_gradient(theta)[1]

        def descend(self, *_: Any) -> None:
            """There is no faster way to take several steps."""

        def loss_and_gradient(self, theta: Any) -> tuple[float, Any]:
            point = torch.from_numpy(theta).requires_grad_()
            V, a, w, b = _split(point, width)
            z = torch.tanh(self.inputs @ V + a) @ w + b
            loss = torch.nn.functional.binary_cross_entropy_with_logits(z, self.labels, self.weights)
            return loss.item(), torch.autograd.grad(loss, point)[0].numpy()

    torch.set_num_threads(1)
    return MeanLogLoss()
