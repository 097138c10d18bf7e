"""The whole chain for one configuration in one process: generate, train, evaluate, plot, report.

python -m pipeline model=torch optimizer.lr=0.05          one run, in its own folder under out/runs/
python -m pipeline -m model=numpy,torch optimizer.lr=0.03,0.1,0.3      a sweep, its runs under one parent in MLflow
python -m pipeline -m hydra/launcher=joblib model.l2=0,0.01,0.1        the same, in parallel processes
"""

from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from pipeline import _terminal
from pipeline._config import CONF, Config, check, compose, to_yaml
from pipeline._tracking import sweep
from pipeline.evaluate import evaluate
from pipeline.generate import generate
from pipeline.numerics import InvalidInput
from pipeline.plot import plot
from pipeline.report import report
from pipeline.train import train


def chain(config: Config, root: Path) -> float:
    """All stages for one configuration, into root. Returns the test log loss, which a sweep may minimise."""
    plain = config.plain
    name = plain["model"]["name"]
    root.mkdir(parents=True, exist_ok=True)
    (root / "config.yaml").write_text(to_yaml(plain), encoding="utf-8")
    generate(config.data, plain["data"], root / "data")
    train({group: plain[group] for group in ("model", "optimizer")}, root / "data", root / name, config.tracking)
    metrics = evaluate(root / "data", root / name, config.tracking)
    plot(root / "data", root / name, config.tracking)
    report(root, [name])
    return metrics["log_loss"]


refused: list[InvalidInput] = []


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def job(composed: DictConfig) -> float:
    """One configuration, as Hydra composed it, into the folder that Hydra gives it; its test log loss.

    What is refused outside a sweep is kept for `main` to raise: Hydra would wrap its own words around it.
    """
    try:
        config = check(OmegaConf.to_container(composed, resolve=True))
        return chain(config, Path(HydraConfig.get().runtime.output_dir))
    except InvalidInput as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise CompactHydraException(f"error: {error}") from error
        refused.append(error)
        return float("nan")


def main(words: Sequence[str]) -> None:
    if not {"-m", "--multirun"}.isdisjoint(words):
        tracking = compose([word for word in words if word.startswith("tracking")]).tracking
        with sweep(tracking, " ".join(word for word in words if "=" in word)):
            job()
        return
    if not any(word.startswith("-") for word in words):
        compose(words)  # fails in one sentence
    job()
    for error in refused:
        raise error


if __name__ == "__main__":
    _terminal.run(main)
