"""The objective, stated once: the weighted mean log loss + l2/2 ||w||^2.

    z = s * A theta                  A = [X, 1]  (n, d+1),  theta = [w, b]  (d+1,),  s = 2y - 1
    f(theta) = mean(m * log(1 + exp(-z))) + l2/2 ||w||^2
    gradient = -A^T (m * s * p) / n + l2 [w, 0]        p = sigmoid(-z), the probability of the wrong class
    Hessian  = A^T diag(m p (1 - p)) A / n + l2 diag(1, ..., 1, 0)

m (n,) are the row weights divided by their mean, so that the mean is sum_i weight_i loss_i / sum_i weight_i: what whole numbers
as weights give is what rows repeated so often give. Without weights m is None, and nothing is multiplied.

The rows of a mini-batch or a sample are drawn without regard to m, and keep their m. So a batch's gradient is the mean of m_i
times the gradient of row i: it is divided by the weight expected of so many rows, not by that of the rows drawn, and its
expectation is the gradient above.

z is each row's margin: the log-odds of its own class. The loss is computed from it, so it stays finite and exact at any z.
Where A is a copy anyway, the signs s are folded into its rows.

theta (d+1, k) and l2 (k,) state k problems over the same data: the loss and the gradient, and they alone, then have a column
a problem.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import Array


class Differentiable(Protocol):
    """What a line search calls."""

    def loss_and_gradient(self, theta: Array) -> tuple[Any, Array]:
        """f(theta), penalty included, and its gradient (d+1,), in one pass over A."""


class Objective(Differentiable, Protocol):
    """What an optimizer may call, whatever computes it (NumPy in `log_loss`, autograd in `torch_objective`)."""

    n: int

    def loss(self, theta: Array) -> Any:
        """f(theta), penalty included."""

    def gradient(self, theta: Array) -> Array:
        """The gradient of f, (d+1,)."""
        return self.loss_and_gradient(theta)[1]

    def hessian(self, theta: Array) -> Array:
        """The Hessian of f, (d+1, d+1)."""

    def hessian_times(self, theta: Array) -> Callable[[Array], Array]:
        """The product v -> H v with the Hessian H at theta, without H itself."""

    def slope_along(self, theta: Array, direction: Array) -> Callable[[float], float]:
        """The function t -> the derivative of f(theta + t direction)."""
        return lambda t: float(self.gradient(theta + np.asarray(t, theta.dtype) * direction) @ direction)

    def curvatures(self) -> Array:
        """The Hessian's diagonal and its last column where every p is 1/2 (2, d+1): its greatest."""

    def rows(self, index: NDArray[np.intp]) -> "Objective":
        """The same objective on some rows: a mini-batch or a sample."""

    def descend(self, theta: Array, gradient: Array, lr: float, steps: int) -> Array | None:
        """theta after so many steps of gradient descent, the first along `gradient`; None if that is no faster in one call."""
        return None
