"""Credentials among overrides and Hydra's own settings are refused before anything is made of them."""

import shutil
from pathlib import Path

import pytest

from pipeline.config import hydra
from pipeline.config.hydra_settings import refuse_secret_settings
from pipeline.errors import PipelineError
from tests.secrets import VALUE

SETTINGS = (
    "+hydra.job.env_set.OTHER=${oc.env:SOME_TOKEN}",
    "+hydra.job.env_set.SOME_TOKEN=typed",
    "+hydra.job.env_set={DB_PASSWORD: typed}",
    "hydra.run.dir='out/${oc.env:SOME_TOKEN}'",
    "hydra.sweep.subdir='${hydra.job.num}-${oc.env:SOME_TOKEN}'",
    f"hydra.job.name='{VALUE}'",
    "+hydra.job.env_set.STORE=http://ada:typed@host",
    f"+data.{VALUE}=1",
    f"tracking.experiment=a,'{VALUE}'",
)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_of_hydra_with_a_secret_is_refused(setting: str, secret_environment: None) -> None:
    with pytest.raises(PipelineError, match="must hold no credential") as raised:
        refuse_secret_settings(["optimizer.lr=0.1,0.2", setting])
    assert "typed" not in str(raised.value)
    assert VALUE not in str(raised.value)


def test_settings_in_another_primary_file_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret_environment: None
) -> None:
    settings = "hydra: {job: {env_set: {OTHER: '${oc.env:SOME_TOKEN}'}}}"
    shutil.copytree(hydra.CONF, tmp_path / "conf")
    (tmp_path / "conf" / "other.yaml").write_text(f"defaults: [config, _self_]\n{settings}\n")
    monkeypatch.setattr("pipeline.config.hydra.CONF", tmp_path / "conf")
    monkeypatch.setattr("pipeline.config.hydra.hydra_over_conf", hydra.hydra_over_conf.__wrapped__)
    with pytest.raises(PipelineError, match=r"hydra\.job\.env_set\.OTHER must hold no credential"):
        refuse_secret_settings([], "other")
