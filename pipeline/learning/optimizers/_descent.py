"""What the methods that go by gradients alone share."""

from typing import Any

import numpy as np

from pipeline.arrays import Array
from pipeline.errors import ConfigError
from pipeline.learning.objective import Objective
from pipeline.learning.optimizer import Optimizer, State
from pipeline.limits import check_fraction


def measured(optimizer: Optimizer, f: Objective, theta: Array, epoch: int) -> State:
    """theta with its gradient, and with its loss where that is to be recorded."""
    if epoch % optimizer.record_every:
        return {"theta": theta, "gradient": f.gradient(theta)}
    loss, gradient = f.loss_and_gradient(theta)
    return {"theta": theta, "gradient": gradient, "loss": loss}


def descend(state: State, gradient: Array, lr: float, momentum: Any, nesterov: bool) -> State:
    """One update of gradient descent with (Nesterov) momentum, in torch.optim.SGD's convention."""
    if isinstance(momentum, float) and momentum == 0:
        return {"theta": state["theta"] - lr * gradient}
    velocity = momentum * state["velocity"] + gradient
    direction = gradient + momentum * velocity if nesterov else velocity
    return {"theta": state["theta"] - lr * direction, "velocity": velocity}


def check_momentum(momentum: Any, nesterov: bool) -> None:
    check_fraction("momentum", momentum)
    if nesterov and not np.greater(momentum, 0).all():
        raise ConfigError(f"nesterov needs momentum > 0; got momentum {momentum}")
