"""What could make a score mislead, looked for by statistical tests. CHECKS is the one list: checks.json, the report, the tags
of a run and `runs promote` follow it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.determinism import one_thread
from pipeline.evaluation.checks import columns, fits, parts, scores
from pipeline.evaluation.checks.check import Check, Finding
from pipeline.evaluation.checks.context import Context, NotApplicable, Part

__all__ = ["CHECKS", "Check", "Context", "Finding", "NotApplicable", "Part", "failed_checks", "run_checks"]

CHECKS = {
    check.name: check
    for check in (
        Check(
            "leak",
            "the AUC of each column alone",
            columns.leak,
            "ask whether it is known before the target is; if not, name it in data.drop",
            severe=True,
        ),
        Check(
            "index_column",
            "columns that are another number in every row",
            columns.index_column,
            "name it in data.drop, since it names rows and says nothing of new ones",
            severe=True,
        ),
        Check(
            "shared_rows",
            "test rows that the training table has, too",
            parts.shared_rows,
            "leave out repeated rows, or keep them on one side with data.group",
            severe=True,
        ),
        Check(
            "separation",
            "whether the classes of the training rows can be separated",
            fits.separation,
            "set model.l2, such as model.l2=0.01",
            severe=True,
        ),
        Check(
            "baseline",
            "the log loss of the test rows beside the training rate's",
            scores.baseline,
            "do not use the model: look for columns that tell more, or for more rows",
            severe=True,
        ),
        Check(
            "overfitting",
            "the log loss of the test rows minus that of the training rows",
            scores.overfitting,
            "set a stronger model.l2, or model.l2=cv, or use fewer columns",
        ),
        Check(
            "predicted_classes",
            "whether both classes are predicted",
            scores.predicted_classes,
            "set evaluation.threshold, or rank by probability",
        ),
        Check(
            "calibration",
            "whether probabilities are the shares that come true",
            scores.calibration,
            "use the ranking only, or calibrate: model.l2=cv, or more epochs",
        ),
        Check(
            "drift",
            "whether a classifier tells test rows from training rows",
            parts.drift,
            "see which columns differ; the scores are those of other rows than the model has seen",
        ),
        Check(
            "time_order",
            "whether the test rows are earlier than the training rows",
            parts.time_order,
            "split by time: data.time=COLUMN",
        ),
        Check(
            "collinear",
            "how far the other features inflate a weight's variance",
            columns.collinear,
            "leave one of them out, or set model.l2, before you read anything into their weights",
        ),
        Check(
            "scales",
            "standard deviations of features that are not standardised",
            fits.scales,
            "set model.standardize=true",
        ),
        Check("unconverged", "how far the loss could still fall", fits.unconverged, "set optimizer=auto"),
        Check(
            "edge",
            "whether the best penalty is the weakest or the strongest that was tried",
            fits.edge,
            "set model.l2 to a number beyond it",
        ),
        Check(
            "reference",
            "the log loss beside that of gradient boosting",
            scores.reference,
            "look for what is not linear: squares, products, ranges of the columns",
        ),
    )
}


def run_checks(context: Context) -> list[dict[str, Any]]:
    """The entries of checks.json: name, looks_at, severe, passed (None: not applicable), sentence, advice, and numbers."""
    with one_thread, np.errstate(all="ignore"):
        return [check.run(context) for check in CHECKS.values()]


def failed_checks(entries: Sequence[dict[str, Any]], severe: bool = False) -> list[dict[str, Any]]:
    """The entries of the checks that failed; severe: of those alone that bar promotion."""
    return [entry for entry in entries if entry["passed"] is False and (entry["severe"] or not severe)]
