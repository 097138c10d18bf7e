"""A value has the type of its field, or is refused in one sentence."""

import pytest

from pipeline.config.config import compose
from pipeline.errors import PipelineError


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("+optimizer.foo=1", "optimizer.foo is not a key; optimizer takes epochs, record_every, tol, lr"),
        ("optimizer.lr=fast", "optimizer.lr must be of type float; got 'fast'"),
        ("optimizer.epochs=1.5", "optimizer.epochs must be of type int; got 1.5"),
        ("optimizer.epochs=2e40", r"optimizer.epochs must be a whole number of 64 bits; got 2e\+40"),
        ("optimizer.epochs=inf", "optimizer.epochs must be of type int; got inf"),
        ("data.seed=nan", "data.seed must be of type int; got nan"),
        (f"optimizer.lr={10**320}", r"optimizer.lr must be a number below 1.8e308; got 1000+\.\.\."),
        ("optimizer.lr=null", "optimizer.lr must be of type float; got None"),
        ("optimizer.lr=[0.1]", r"optimizer.lr must be of type float; got \[0.1\]"),
        ("optimizer.lr={a:1}", "optimizer.lr must be of type float; got {'a': 1}"),
        ("optimizer.name=[gd]", r"optimizer.name must be one of adam, .*; got \['gd'\]"),
        ("tracking.experiment=\udcff", "tracking.experiment must be text in UTF-8"),
        ("model.standardize=3", "model.standardize must be of type bool; got 3"),
        ("data.rows=null", "data.rows must be of type int; got None"),
        ("model.name=jax", "model.name must be one of numpy, torch; got jax"),
    ],
)
def test_a_value_of_another_type(override: str, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence) as raised:
        compose([override])
    assert len(str(raised.value).splitlines()) == 1
