"""Where runs are logged: what a URI may be, and where its credentials come from."""

from pathlib import Path

import pytest
import yaml

from pipeline.config.config import compose
from pipeline.config.files import read_yaml
from pipeline.config.tracking import Tracking, stage_tracking, tracking_of
from pipeline.errors import PipelineError
from tests.secrets import LEAKED


@pytest.mark.parametrize("uri", [None, "sqlite:///mlruns/mlflow.db", "http://h:1", "databricks://profile", "postgresql://h/db"])
def test_a_uri(uri: str | None) -> None:
    assert Tracking(uri).to_dict()["uri"] == uri


@pytest.mark.parametrize("uri", ["", "foo", "sqlite://x", "sqlite:///", "sqlite:///a?b=c", "http://"])
def test_no_uri(uri: str) -> None:
    with pytest.raises(PipelineError, match=r"uri must be like sqlite:///FILE or http://HOST:PORT, or null; got "):
        Tracking(uri)


def test_the_stages_log_where_compose_wrote_or_by_default(tmp_path: Path) -> None:
    assert stage_tracking(tmp_path) == compose().tracking
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "tracking.yaml").write_text("uri: null\nexperiment: mine\n")
    assert stage_tracking(tmp_path) == Tracking(None, "mine")


def test_credentials_come_from_the_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"http://ada:{LEAKED}@127.0.0.1:5000"
    with pytest.raises(
        PipelineError, match="no credentials in it: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    ) as raised:
        compose([f"tracking.uri='{uri}'"])
    assert LEAKED not in str(raised.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    config = compose(["tracking=server"])
    assert config.tracking.uri == uri
    assert config.to_dict()["tracking"]["uri"] == "http://127.0.0.1:5000"
    (tmp_path / "tracking.yaml").write_text(yaml.safe_dump(config.to_dict()["tracking"]))
    assert tracking_of(read_yaml(tmp_path / "tracking.yaml")) == config.tracking
