"""Time to a solution: our default beside every peer that is installed, to relative suboptimality 1e-3, 1e-6 and 1e-10.

python -m benchmarks.peers                      all problems -> out/benchmarks/peers.csv and peers.png
python -m benchmarks.peers --only breast        problems whose names contain a word
python -m benchmarks.peers --against glum       peers whose names contain a word

Of the problems and peers that are left out the last rows are kept; ratios to them are then of two runs, and not to be quoted.

Each solver climbs a ladder of tolerances until its answer is good enough, judged by the same objective in float64; then the
rungs that were good enough are timed, all solvers taking turns.
"""

import argparse
import importlib
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._measure import interleaved
from benchmarks.problems import PROBLEMS, SCALING, Problem
from pipeline.arrays import Array
from pipeline.learning.log_loss import LogLoss, log_loss
from pipeline.learning.logistic import fit
from pipeline.learning.models.numpy import NumpyModel
from pipeline.learning.optimizers.auto import Auto
from pipeline.learning.optimizers.lbfgs import LBFGS
from pipeline.learning.optimizers.newton import Newton

GOALS = (1e-3, 1e-6, 1e-10)
LADDER = tuple(10.0**-k for k in range(1, 15))
OURS = "pipeline auto"
COLUMNS = ("problem", "suboptimality", "solver", "median", "least", "most")
COLOURS = {
    "pipeline": "#1f5fa8",
    "scikit-learn": "#d1672b",
    "scikit-learn-intelex": "#e0b02c",
    "liblinear": "#7b5ea7",
    "glum": "#2f8f5b",
    "skglm": "#c2486b",
    "torch": "#555555",
}
Solver = Callable[[Problem, float], Array]


def ours(p: Problem, tol: float) -> Array:
    model = NumpyModel(dtype=str(p.X.dtype), l2=p.l2, standardize=False)
    fitted = fit(p.X, p.y, model, Auto(tol=tol)).model
    return np.append(fitted.w, fitted.b)


def scikit_learn(solver: str, package: str = "sklearn", max_iter: int = 2000) -> Solver:
    """scikit-learn's, or that of a package with the same classes."""

    def solve(p: Problem, tol: float) -> Array:
        peers = importlib.import_module(f"{package}.linear_model")
        more: dict[str, Any] = {"intercept_scaling": SCALING} if solver == "liblinear" else {}  # it penalises the intercept
        peer = peers.LogisticRegression(solver=solver, tol=tol, C=1.0, max_iter=max_iter, **more).fit(p.X, p.y)
        return np.append(peer.coef_[0], peer.intercept_)

    return solve


def skglm(p: Problem, tol: float) -> Array:
    """Its L-BFGS fits no intercept: a column of SCALING, hardly penalised, stands for it."""
    from skglm import solvers
    from skglm.datafits import Logistic
    from skglm.penalties import L2

    w = solvers.LBFGS(max_iter=2000, tol=tol).solve(p.with_intercept, 2 * p.y - 1, Logistic(), L2(p.l2))[0]
    return np.append(w[:-1], SCALING * w[-1])


def glum(solver: str) -> Solver:
    def solve(p: Problem, tol: float) -> Array:
        from glum import GeneralizedLinearRegressor

        peer = GeneralizedLinearRegressor(
            family="binomial", alpha=p.l2, l1_ratio=0, solver=solver, gradient_tol=tol, max_iter=1000, scale_predictors=False
        ).fit(p.by_columns, p.y)
        return np.append(peer.coef_, peer.intercept_)

    return solve


def torch_lbfgs(p: Problem, tol: float) -> Array:
    import torch

    X, y = torch.from_numpy(p.X), torch.from_numpy(p.y)
    theta = torch.zeros(X.shape[1] + 1, dtype=X.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([theta], max_iter=1000, tolerance_grad=tol, tolerance_change=0, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(torch.addmv(theta[-1], X, theta[:-1]), y)
        loss = loss + p.l2 / 2 * theta[:-1].square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return theta.detach().numpy()


SOLVERS: dict[str, tuple[Solver, str]] = {  # with the package that it needs
    OURS: (ours, "pipeline"),
    "scikit-learn lbfgs": (scikit_learn("lbfgs"), "sklearn"),
    "scikit-learn newton-cholesky": (scikit_learn("newton-cholesky"), "sklearn"),
    "scikit-learn newton-cg": (scikit_learn("newton-cg"), "sklearn"),
    "scikit-learn saga": (scikit_learn("saga", max_iter=100), "sklearn"),
    "scikit-learn-intelex lbfgs": (scikit_learn("lbfgs", "sklearnex"), "sklearnex"),
    "skglm lbfgs": (skglm, "skglm"),
    "liblinear": (scikit_learn("liblinear"), "sklearn"),
    "glum irls": (glum("irls-ls"), "glum"),
    "glum lbfgs": (glum("lbfgs"), "glum"),
    "torch LBFGS": (torch_lbfgs, "torch"),
}
SMALL_ONLY = ("scikit-learn newton-cholesky", "glum irls")  # their Hessian is d x d
DENSE_ONLY = (*SMALL_ONLY, "torch LBFGS", "scikit-learn newton-cg", "liblinear")  # or minutes on sparse data


def suits(name: str, p: Problem) -> bool:
    if not isinstance(p.X, np.ndarray) and name in DENSE_ONLY:
        return False
    return p.X.shape[1] <= 2000 or name not in SMALL_ONLY


def climb(solve: Solver, p: Problem, f: LogLoss, best: float, patience: float) -> dict[float, float]:
    """For each goal, the first tolerance that reaches it, if one does before `patience` seconds are over."""
    found: dict[float, float] = {}
    start = time.perf_counter()
    for tol in LADDER:
        theta = solve(p, tol).astype(np.float64)
        with np.errstate(all="ignore"):
            off = (float(f.loss(theta)) - best) / best
        for goal in GOALS:
            if off <= goal:
                found.setdefault(goal, tol)
        if len(found) == len(GOALS) or time.perf_counter() - start > patience:
            break
    return found


def optimum(p: Problem) -> tuple[LogLoss, float]:
    """The objective in float64 and its least value, found by our optimizers in float64 at their finest."""
    exact = Problem(p.X.astype(np.float64), p.y.astype(np.float64))
    large = LBFGS(tol=1e-12, epochs=3000, memory=30, diagonal=not isinstance(p.X, np.ndarray))
    method = Newton(tol=1e-14, sample=10**9) if p.X.shape[1] <= 2000 else large
    fitted = fit(exact.X, exact.y, NumpyModel(l2=p.l2, standardize=False), method)
    return log_loss(exact.X, exact.y, p.l2), fitted.loss


def compare(name: str, rounds: int, patience: float, against: str = "") -> list[tuple[Any, ...]]:
    """One row for each solver and goal of one problem."""
    p = PROBLEMS[name]()
    f, best = optimum(p)
    contenders: dict[str, Callable[[], object]] = {}
    for solver, (solve, package) in SOLVERS.items():
        if (against in solver or solver == OURS) and suits(solver, p) and _installed(package):
            try:
                reached = climb(solve, p, f, best, patience)
            except Exception as error:
                print(f"{name:28} {solver} fails: {' '.join(str(error).split())[:100]}", flush=True)
                continue
            for goal in GOALS:
                if goal not in reached:
                    print(f"{name:28} {goal:>7}  {solver:30} does not get there", flush=True)
            for goal, tol in reached.items():
                contenders[f"{solver}|{goal}"] = lambda solve=solve, tol=tol: solve(p, tol)  # type: ignore[misc]
    rows = []
    for key, seconds in interleaved(contenders, rounds).items():
        who, _, to = key.partition("|")
        print(f"{name:28} {to:>7}  {who:30} {seconds}", flush=True)
        rows.append((name, float(to), who, seconds.median, min(seconds.every), max(seconds.every)))
    return rows


def merged(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The new rows, the old ones of other problems and solvers, and the time of each over that of the best peer."""
    pairs = [pd.MultiIndex.from_frame(table[["problem", "solver"]]) for table in (old, new)]
    table = pd.concat([old[~pairs[0].isin(pairs[1])], new], ignore_index=True)
    peers = table["median"].where(table["solver"] != OURS)
    table["over_best_peer"] = table["median"] / peers.groupby([table["problem"], table["suboptimality"]]).transform("min")
    return table


def _installed(package: str) -> bool:
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


def draw(table: pd.DataFrame, path: Path) -> None:
    """How many times as long as ours each peer takes to 1e-6, or to 1e-3 where we or all of them fail; a line a problem."""
    from matplotlib.figure import Figure

    problems = [name for name in PROBLEMS if name in set(table["problem"])][::-1]
    figure = Figure((9, 1 + 0.5 * len(problems)), layout="constrained")
    axes = figure.subplots()
    for i, problem in enumerate(problems):
        rows, label = table[table["problem"] == problem].set_index("solver"), f"{problem}: nothing to compare"
        for goal in (1e-6, 1e-3):
            times = rows.loc[rows["suboptimality"] == goal, "median"]
            if OURS in times and len(times) > 1:
                for solver, ratio in (times.drop(OURS) / times[OURS]).items():
                    axes.plot(ratio, i, "o", color=COLOURS[str(solver).split()[0]])
                label = f"{problem}, to {goal:.0e}"
                break
        axes.text(1.02, i, label, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
    axes.axvline(1, color=COLOURS["pipeline"])
    axes.set(xscale="log", ylim=(-0.5, len(problems) - 0.5), yticks=range(len(problems)), yticklabels=[])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("time over that of optimizer=auto (the blue line)")
    axes.grid(axis="y", color="#e5e5e5")
    handles = [axes.plot([], [], "o", color=colour, label=name)[0] for name, colour in COLOURS.items() if name != "pipeline"]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, fontsize=9)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="WORD", help="problems whose names contain this")
    parser.add_argument("--against", default="", metavar="WORD", help="peers whose names contain this")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed")
    parser.add_argument("--patience", type=float, default=15.0, help="seconds that a solver may climb")
    args = parser.parse_args()
    for option, word, names in (("--only", args.only, PROBLEMS), ("--against", args.against, SOLVERS)):
        if not any(word in name for name in names):
            parser.error(f"{option} must be part of one of {'; '.join(names)}, but is {word}")
    warnings.simplefilter("ignore")  # peers that stop early say so
    rows = [row for name in PROBLEMS if args.only in name for row in compare(name, args.rounds, args.patience, args.against)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    folder = Path("out/benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    table = merged(pd.read_csv(folder / "peers.csv") if (folder / "peers.csv").is_file() else table[:0], table)
    print(table.loc[table["solver"] == OURS, ["problem", "suboptimality", "median", "over_best_peer"]].to_string(index=False))
    table.to_csv(folder / "peers.csv", index=False)
    draw(table, folder / "peers.png")
    print(f"-> {folder}")


if __name__ == "__main__":
    main()
