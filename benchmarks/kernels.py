"""What the arithmetic itself reaches: a pass over memory, the document's loops, 64 configurations at once, cross-validation.

python -m benchmarks.kernels
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np

from benchmarks._measure import interleaved
from benchmarks.problems import tall
from pipeline.arrays import Array
from pipeline.data.sources.document import Textbook
from pipeline.determinism import one_thread
from pipeline.evaluation.folds import FoldRows, features_of
from pipeline.evaluation.penalty import FOLDS, VALUES, cross_validate
from pipeline.learning.batch import fit_together
from pipeline.learning.log_loss import log_loss
from pipeline.learning.logistic import fit
from pipeline.learning.matrix import with_ones
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.models.torch import TorchModel
from pipeline.learning.optimizers.auto import Auto
from pipeline.learning.optimizers.gd import GradientDescent
from pipeline.model.predictor import probability
from pipeline.threads import threads

GRID = [(lr, l2) for lr in np.geomspace(0.01, 1, 8) for l2 in np.geomspace(1e-6, 1e-1, 8)]


def pass_over_memory(rounds: int) -> None:
    """One gradient of 1e6 x 100 float32, beside reading the same bytes and adding them up, on as many threads."""
    p = tall()
    assert isinstance(p.X, np.ndarray)
    f, theta = log_loss(p.X, p.y, p.l2), np.full(101, 0.01, np.float32)
    parts = np.array_split(p.X.reshape(-1), 64)
    with ThreadPoolExecutor(threads()) as pool, one_thread, np.errstate(all="ignore"):
        reading = lambda: list(pool.map(np.sum, parts))  # noqa: E731
        times = interleaved({"read": reading, "gradient": lambda: f.gradient(theta)}, rounds)
    read, gradient = times["read"], times["gradient"]
    print(f"gradient pass, 1e6 x 100 float32   {gradient!s:34} {read.median / gradient.median:.2f} of the read bandwidth")
    print(f"  reading alone                    {read!s:34} {p.X.nbytes / read.median / 1e9:.1f} GB/s")


def document_numpy(X: Array, y: Array, epochs: int = 100) -> Array:
    """The document's loop, as it stands there."""
    w, b = np.zeros(2), 0.0
    for epoch in range(epochs):
        p = 1 / (1 + np.exp(-(np.dot(X, w) + b)))
        loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
        dw, db = np.dot(X.T, p - y) / len(y), np.mean(p - y)
        w, b = w - 0.1 * dw, b - 0.1 * db
        if epoch % 10 == 0:
            f"Epoch {epoch}, Loss: {loss:.4f}"
    return w


def calls_alone(X: Array, y: Array, dtype: str) -> Array:
    """What an epoch cannot do without: its NumPy calls on arrays that are there already, and nothing else."""
    A = with_ones(X.astype(dtype), (2 * y - 1).astype(dtype))
    slopes, one, z = np.ascontiguousarray(A.T * (0.1 / len(y))), np.ones((), dtype), np.empty(len(y), dtype)
    theta, change = np.zeros(3, dtype), np.empty(3, dtype)
    for _ in range(100):
        A.dot(theta, z)
        np.exp(z, z)
        np.add(z, one, z)
        np.divide(one, z, z)
        slopes.dot(z, change)
        np.add(theta, change, theta)
    return theta


def document_torch(X: Array, y: Array) -> Array:
    """The document's torch loop, as it stands there."""
    import torch

    inputs, labels = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32).view(-1, 1)
    linear = torch.nn.Linear(2, 1)
    model = torch.nn.Sequential(linear, torch.nn.Sigmoid())
    criterion, optimizer = torch.nn.BCELoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(100):
        loss = criterion(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epoch % 10 == 0:
            f"Epoch {epoch}, Loss: {loss.item():.4f}"
    return linear.weight.detach().numpy()


def document(rounds: int) -> None:
    """100 and 1000 epochs of 1000 x 2, beside the document's own code."""
    part = Textbook().load().train
    X, y = np.asarray(part.X), part.y
    double = NumpyModel(standardize=False)
    single, long = replace(double, dtype="float32"), GradientDescent(epochs=1000)
    theirs: dict[str, Callable[[], object]] = {
        "NumPy": lambda: document_numpy(X, y),
        "NumPy, 1000 epochs": lambda: document_numpy(X, y, 1000),
        "torch": lambda: document_torch(X, y),
    }
    ours: dict[str, tuple[Callable[[], object], str]] = {
        "numpy": (lambda: fit(X, y, double, GradientDescent()), "NumPy"),
        "numpy, float32": (lambda: fit(X, y, single, GradientDescent()), "NumPy"),
        "numpy, 1000 epochs": (lambda: fit(X, y, double, long), "NumPy, 1000 epochs"),
        "numpy, float32, 1000 epochs": (lambda: fit(X, y, single, long), "NumPy, 1000 epochs"),
        "its NumPy calls alone": (lambda: calls_alone(X, y, "float64"), "NumPy"),
        "its NumPy calls alone, float32": (lambda: calls_alone(X, y, "float32"), "NumPy"),
        "torch": (lambda: fit(X, y, TorchModel(standardize=False), GradientDescent()), "torch"),
    }
    contenders = {f"the document's {name}": work for name, work in theirs.items()} | {
        name: work for name, (work, _) in ours.items()
    }
    for work in contenders.values():
        work()
    times = interleaved(contenders, rounds)
    for name, (_, peer) in ours.items():
        ratio = times[name].median / times[f"the document's {peer}"].median
        print(f"1000 x 2, {name:30} {times[name]!s:34} {ratio:.2f} x the document's {peer}")


def one_by_one(X: Array, y: Array, models: list[NumpyModel], methods: list[GradientDescent]) -> None:
    for model, method in zip(models, methods, strict=True):
        fit(X, y, model, method)


def plain_loops(X: Array, y: Array, models: list[NumpyModel], methods: list[GradientDescent]) -> None:
    """As it is written without a library: whole arrays, the loss where `fit` records one, BLAS on all its threads."""
    for model, method in zip(models, methods, strict=True):
        lr, l2 = X.dtype.type(method.lr), X.dtype.type(model.l2)
        w, b = np.zeros(X.shape[1], X.dtype), X.dtype.type(0)
        for epoch in range(method.epochs):
            z = X @ w + b
            if epoch % method.record_every == 0:
                (np.logaddexp(0, z) - y * z).mean() + 0.5 * l2 * w @ w
            difference = 1 / (1 + np.exp(-z)) - y
            w, b = w - lr * (X.T @ difference / len(y) + l2 * w), b - lr * difference.mean()


def grid(rounds: int) -> None:
    """64 configurations of (learning rate, l2) on 1e5 x 50, as one fit and one by one."""
    for dtype in ("float32", "float64"):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((100_000, 50)).astype(dtype)
        y = (rng.random(len(X)) < 0.4).astype(dtype)
        model, method = NumpyModel(standardize=False, dtype=dtype), GradientDescent(epochs=20)
        work = X, y, [replace(model, l2=l2) for _, l2 in GRID], [replace(method, lr=lr) for lr, _ in GRID]
        ways: dict[str, Callable[..., object]] = {
            "together": fit_together,
            "by loops in plain NumPy": plain_loops,
            "by this project's own fit": one_by_one,
        }
        times = interleaved({name: partial(way, *work) for name, way in ways.items()}, max(3, rounds // 5))
        together = times.pop("together")
        for name, alone in times.items():
            ratio = alone.median / together.median
            print(f"64 configurations, 1e5 x 50 {dtype}   {together!s:32} {ratio:.1f} times as fast as one by one {name}")


def cross_validation(rounds: int) -> None:
    """model.l2=cv on 1e5 x 50, a path of penalties in five folds, beside one fit."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100_000, 50))
    y = (rng.random(len(X)) < probability(X @ rng.standard_normal(50) * 0.2 - 0.5)).astype(np.float64)
    model, every = NumpyModel(l2=1e-5), features_of(X)
    contenders: dict[str, Callable[[], object]] = {
        "cv": lambda: cross_validate(model, FoldRows(every, y)),
        "fit": lambda: model.fit(X, y, Auto()),
    }
    for work in contenders.values():
        work()
    times = interleaved(contenders, rounds)
    ratio = times["cv"].median / times["fit"].median
    print(f"{FOLDS} folds of {VALUES} penalties, 1e5 x 50 float64   {times['cv']!s:32} {ratio:.1f} x one fit, {times['fit']}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    document(rounds)
    pass_over_memory(rounds)
    grid(rounds)
    cross_validation(rounds)


if __name__ == "__main__":
    main()
