"""Many configurations over the same data as one fit: X @ W with a column a configuration, so an epoch reads X once for all.

A column has the weights that its configuration gets alone to within 1e-12 (float64, a few hundred epochs), not to the bit: a
matrix product adds in another order than a matrix-vector product.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from pipeline.arrays import Array, Features
from pipeline.determinism import one_thread
from pipeline.errors import DataError, PipelineError
from pipeline.learning.epochs import DivergenceMonitor
from pipeline.learning.log_loss import LogLoss
from pipeline.learning.logistic import LogisticFit, starting_point, training_features
from pipeline.learning.losses import signs_of
from pipeline.learning.matrix import Augmented, matrix, with_ones
from pipeline.learning.model import Record
from pipeline.learning.models import LinearModel
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.optimizers.adam import Adam
from pipeline.learning.optimizers.gd import GradientDescent
from pipeline.learning.weights import training_rows

Method = GradientDescent | Adam
FREE = ("lr", "momentum", "beta1", "beta2", "eps")  # an optimizer's fields that may differ from column to column


def fit_together(
    X: Features,
    y: Array,
    models: Sequence[NumpyModel],
    optimizers: Sequence[Method],
    record: Callable[[int, Record], None] = lambda column, row: None,
    weight: Array | None = None,
    classes: Sequence[Any] = (0, 1),
) -> list[LogisticFit | PipelineError]:
    """What `logistic.fit` gives for each pair of a model and an optimizer; a DataError where a column diverged.

    The models may differ in l2; the optimizers, all gd or all adam with tol 0, in FREE. `record` gets a column and its row.
    """
    if not len(models) == len(optimizers) > 0:
        raise DataError(f"as many models as optimizers; got {len(models)} and {len(optimizers)}")
    _require_alike(models, ("l2",))
    _require_alike(optimizers, FREE)
    X, y, m = training_rows(X, y, weight, models[0].class_weight, classes)
    optimizer, failed = optimizers[0], dict[int, PipelineError]()
    if optimizer.tol != 0:
        raise DataError(f"columns stop together, so tol must be 0; got {optimizer.tol}")
    monitors = [DivergenceMonitor(X, each.lr) for each in optimizers]

    def measure(epoch: int, is_last: bool = False) -> list[Record]:
        losses = state["loss"] if "loss" in state else f.loss(state["theta"])
        norms = np.abs(state["gradient"]).max(axis=0)
        rows = [Record(epoch, float(loss), float(norm)) for loss, norm in zip(losses, norms, strict=True)]
        for column, row in enumerate(rows):
            if column not in failed:
                try:
                    monitors[column].check(row, state["theta"][:, column], is_last)
                except PipelineError as error:
                    failed[column] = error
        return rows

    with one_thread, np.errstate(all="ignore"):
        Z, mean, scale = training_features(X, models[0], m=m)
        m = None if m is None else m.astype(Z.dtype)
        signs, l2 = signs_of(y, Z.dtype), np.array([model.l2 for model in models])
        is_dense = isinstance(Z, np.ndarray)
        f = LogLoss(Augmented(with_ones(Z, signs)), None, l2, m) if is_dense else LogLoss(matrix(Z), signs, l2, m)
        method = _stacked(optimizers, Z.dtype)
        start = starting_point(X, models[0]).astype(Z.dtype)
        state = method.start(f, np.repeat(start[:, None], len(models), axis=1))
        for epoch in range(optimizer.epochs):
            if epoch % optimizer.record_every == 0:
                for column, row in enumerate(measure(epoch)):
                    if column not in failed:
                        record(column, row)
            state = method.step(f, state, epoch)
        ends = measure(optimizer.epochs, is_last=True)

    def result(column: int, end: Record) -> LogisticFit:
        arrays = LinearModel.at(state["theta"][:, column].copy(), mean, scale).arrays
        start, optimizer = monitors[column].first, optimizers[column]
        return LogisticFit(arrays, end.epoch, end.loss, end.gradient_norm, "epochs", optimizer, start_loss=start)

    return [failed.get(column) or result(column, end) for column, end in enumerate(ends)]


def _require_alike(objects: Sequence[NumpyModel] | Sequence[Method], free: Sequence[str]) -> None:
    """Raise DataError unless all are of one class and differ in fields of these names alone."""
    first = objects[0]
    for other in objects[1:]:
        if type(other) is not type(first):
            raise DataError(f"one class for all; got {type(first).__name__} and {type(other).__name__}")
        for field in fields(first):
            here, there = getattr(first, field.name), getattr(other, field.name)
            if not (here == there or field.name in free):
                raise DataError(f"one {field.name} for all; got {here} and {there}")


def _stacked(optimizers: Sequence[Method], dtype: "np.dtype[Any]") -> Method:
    """One optimizer whose free hyperparameters are arrays (k,), a value a column."""
    names = [field.name for field in fields(optimizers[0]) if field.name in FREE]
    columns: dict[str, Any] = {name: np.array([getattr(each, name) for each in optimizers], dtype) for name in names}
    return replace(optimizers[0], **columns)
