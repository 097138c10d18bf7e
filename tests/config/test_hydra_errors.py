"""What Hydra and OmegaConf refuse is one sentence that says what is allowed."""

import pytest

from pipeline.config.config import compose
from pipeline.errors import PipelineError


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("optimizer.foo=1", "optimizer.foo is not a key; optimizer=gd takes lr, epochs"),
        ("model.init.a=1", "model.init.a is not a key; model.init has none"),
        ("foo=1", "foo is not a key; the keys are evaluation, data, model, optimizer, tracking, experiment"),
        (f"optimizer.tol={'7' * 5000}", "Exceeds the limit"),
        ("model=a/b", "model=a/b: there is no such model; choose numpy, torch"),
        ("hydra/sweeper=optuna", "hydra/sweeper=optuna: there is no such hydra/sweeper; choose basic"),
        ("hydra.nothing=1", "hydra.nothing is not a key of Hydra's"),
        ("hydra.job.name=(x)", """a text with other signs in quotes: 'hydra.job.name="\\(x\\)"'; got hydra.job.name=\\(x\\)"""),
        (f"optimizer.lr={'[' * 500}{']' * 500}", "overrides must not be nested as deeply as these"),
        ("tracking.experiment=${", r"\${ must begin an interpolation, such as \${oc.env:NAME}, and be \\\${ in a text"),
        ("optimizer=sgdd", "there is no such optimizer; choose adam, auto, gd"),
        ("experiment=null", "experiment=null: there is no such experiment; choose breast_cancer"),
        ("experiment=nope", "there is no such experiment; choose breast_cancer, document_numpy, document_torch"),
        ("tracking=server", "the environment variable MLFLOW_TRACKING_URI must be set"),
        ("~optimizer.lr=2", r"Could not delete from config. The value of 'optimizer.lr' is 0.1 and not 2."),
    ],
)
def test_what_hydra_refuses(override: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(PipelineError, match=sentence) as raised:
        compose([override])
    assert len(str(raised.value).splitlines()) == 1
