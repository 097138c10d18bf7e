"""What MLflow's table of runs opens on: columns, order and groups, which the experiment has as a tag and an address names.

MLflow's own page shows no metric until columns are chosen. A view that is shared is JSON in the tag
`mlflow.sharedViewState.KEY`, and is opened by `viewStateShareKey=KEY` in the page's address.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.evaluation.metrics import COMPARED_METRICS, LEADING_METRICS, OBJECTIVE
from pipeline.evaluation.options import NONE
from pipeline.tracking.names import DATA_TAG, SECONDS, SWEEP_TAG, VALIDATION_TAG

TEST, VALIDATION = "test", "validation"  # keys of views, and what begins the metrics that they are sorted by
SHARED = "mlflow.sharedViewState."
NAME, CREATED, DURATION = "attributes.`Run Name`", "runDateAndNestInfo", "duration"  # columns that are always there
CHECKS = "tags.`checks.failed`"
NAME_WIDTH, TAG_WIDTH, WIDTH = 400, 160, 140  # pixels
MAX_BARS = 10  # in a chart, as in those that MLflow makes
UI_HOST, UI_PORT = "127.0.0.1", 5000  # of `make ui`


def views() -> dict[str, str]:
    """The experiment's tags: a view for what was tested, and one for what was validated, too."""
    return {f"{SHARED}{part}": _compressed(json.dumps(_view(part))) for part in (TEST, VALIDATION)}


def _compressed(text: str) -> str:
    """As MLflow's page takes it, which else may be too long for a tag."""
    return f"deflate;{base64.b64encode(zlib.compress(text.encode())).decode()}"


def _view(part: str) -> dict[str, Any]:
    """Least loss first, in groups: of each data set the sweeps, since scores on different test tables cannot be compared."""
    parts = [VALIDATION, TEST] if part == VALIDATION else [TEST]
    metrics = [f"{each}/{name}" for each in parts for name in LEADING_METRICS]
    columns = [*(f"metrics.`{name}`" for name in metrics), CHECKS, f"metrics.`{SECONDS}`"]
    order = [NAME, CREATED, *columns, DURATION]
    groups = [{"mode": "tag", "groupByData": tag} for tag in (DATA_TAG, SWEEP_TAG)]
    return {
        "orderByKey": f"metrics.`{part}/{OBJECTIVE}`",
        "orderByAsc": True,
        "selectedColumns": columns,
        "columnOrder": order,
        "columnWidths": {**dict.fromkeys(order, WIDTH), NAME: NAME_WIDTH, CHECKS: TAG_WIDTH},
        "groupBy": {"aggregateFunction": "min", "groupByKeys": groups},
        "compareRunSections": [{"uuid": part, "name": part, "display": True, "isReordered": True} for part in parts],
        "compareRunCharts": [*map(_chart, metrics), *(_chart(name, deleted=True) for name in _ends(parts))],
    }


def _chart(metric: str, deleted: bool = False) -> dict[str, Any]:
    """The bars of a metric. MLflow adds those of all metrics for which there is no chart, be it deleted."""
    section = metric.partition("/")[0]
    shown = {"type": "BAR", "uuid": metric, "metricSectionId": section, "metricKey": metric, "runsCountToCompare": MAX_BARS}
    return {**shown, "isGenerated": True, "deleted": deleted}


def _ends(parts: Sequence[str]) -> list[str]:
    """The metrics that are ends of intervals, which make no chart of their own."""
    return [f"{part}/{name}.{end}" for part in parts for name in COMPARED_METRICS for end in ("low", "high")]


def key_for(tags: Mapping[str, str]) -> str:
    """Of the view in which a run with these tags has a place: by what sweeps are compared, where it was validated."""
    return VALIDATION if tags.get(VALIDATION_TAG, NONE) != NONE else TEST


def page(experiment: str, key: str) -> str:
    """The address of a view, below that of the server."""
    return f"/#/experiments/{experiment}/runs?viewStateShareKey={key}"
