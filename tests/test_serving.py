"""The served model's answer to what it cannot answer."""

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from scipy.sparse import csr_matrix

from pipeline._serving import LogisticRegression


@pytest.fixture
def served() -> LogisticRegression:
    model = LogisticRegression()
    model.about = {"features": ["x1", "x2"], "classes": ["no", "yes"]}
    model.weights = {"mean": np.zeros(2), "scale": np.ones(2), "w": np.array([1.0, -1.0]), "b": np.array(0.5)}
    return model


def test_a_missing_value_has_no_answer(served: LogisticRegression) -> None:
    table = pd.DataFrame({"x1": [1.0, 2.0], "x2": [0.0, np.nan]})
    sentence = "every value must be a finite number; column x2 in row 1 is nan"
    with pytest.raises(MlflowException, match=sentence):
        served.predict(None, table)
    with pytest.raises(MlflowException, match=sentence):
        served.predict(None, table.to_numpy())  # type: ignore[arg-type]
    with pytest.raises(MlflowException, match="entry 2 of the matrix is inf"):
        served.predict(None, csr_matrix([[1.0, 2.0], [np.inf, 0.0]]))
    assert served.predict(None, table[:1])["prediction"].tolist() == ["yes"]
    with pytest.raises(MlflowException, match="the log-odds of row 0 is"):
        served.predict(None, pd.DataFrame({"x1": [1e308], "x2": [-1e308]}))
