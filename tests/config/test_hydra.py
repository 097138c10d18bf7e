"""Overrides that Hydra takes, and one configuration does not."""

import pytest

from pipeline.config.config import compose
from pipeline.errors import PipelineError


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("~model=1", "what deletes a group must be ~GROUP or ~GROUP=NAME; got ~model=1$"),
        ("optimizer.lr=1,2", "only `python -m pipeline -m` sweeps over several values; got optimizer.lr=1,2"),
    ],
)
def test_what_one_configuration_does_not_take(override: str, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence) as raised:
        compose([override])
    assert len(str(raised.value).splitlines()) == 1
