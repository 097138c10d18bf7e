"""The loss and the probability at any log-odds."""

import numpy as np
import pytest

from pipeline.learning.losses import log_losses
from pipeline.model.predictor import probability


@pytest.mark.parametrize("z", [-1e308, -1e4, -800.0, -36.0, -30.0, -20.0, -1.0, 0.0, 1.0, 20.0, 30.0, 36.0, 800.0, 1e4])
def test_sigmoid_and_loss_hold_at_any_log_odds(z: float) -> None:
    p = probability(np.array([z]))[0]
    assert p == pytest.approx(0.5 * (1 + np.tanh(z / 2)), abs=1e-15)
    loss = log_losses(np.array([z, z]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(
        loss, [max(z, 0) + np.log1p(np.exp(-abs(z))), max(-z, 0) + np.log1p(np.exp(-abs(z)))], rtol=1e-15
    )
