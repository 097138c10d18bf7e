"""What is done to runs afterwards: show them again, close, repeat, compare and verify them, choose the best."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline import console
from pipeline.errors import CommandError, PipelineError
from pipeline.evaluation.metrics import COMPARED_METRICS
from pipeline.redaction import first_line
from pipeline.tracking.sqlite_store import is_of_store

RUN = (
    "A RUN is a run id, a fingerprint (6 letters at least), a unique prefix of either, @champion or NAME@champion. "
    "Of a fingerprint that jobs of sweeps share with one run outside sweeps, it is the latter."
)
EXIT_CODES = "exit code: 0 %s; 1 %s, or an error in one sentence on stderr; 2 wrong usage"

# By name: the description, examples, and what the exit codes 0 and 1 mean.
COMMANDS: dict[str, tuple[str, tuple[str, ...], tuple[str, str]]] = {
    "publish": (
        "Send to MLflow what it lacks of the models' folders in out/models/, out/runs/ and out/sweeps/, or of those given. "
        "Files alone do not bring back the model registry, runs whose files were overwritten, old run ids, code.diff "
        "and the environment.",
        ("publish", "publish out/models/numpy out/runs/*/models/torch", "publish --rev HEAD~3"),
        ("MLflow shows every folder", "a folder was skipped"),
    ),
    "doctor": (
        "Close, as killed, what is RUNNING in MLflow though its process is gone, and check the store.",
        ("doctor", "doctor --dry-run"),
        ("healthy, or mended", "something is left that needs you, or with --dry-run would be closed"),
    ),
    "reproduce": (
        f"Make a run again from its records, in a clean worktree at its commit, and compare every bit. {RUN}",
        ("reproduce 3f2a91", "reproduce @champion --json"),
        ("equal bit for bit", "not equal; the first difference is named"),
    ),
    "diff": (
        f"In what run B differs from run A, and how sure the differences of their metrics, B - A, are. {RUN}",
        ("diff 3f2a91 77b0c4", "diff @champion 77b0c4 --json"),
        ("the metrics were compared", "they cannot be, all else is shown"),
    ),
    "verify": (
        "Compare out/, DVC's metrics, MLflow's runs and the code with the current dvc.lock.",
        ("verify", "verify --json"),
        ("all agree", "something has drifted; it is named"),
    ),
    "promote": (
        f"Register a run's model; move the alias champion to it only if it is surely better than the present one. {RUN}",
        ("promote 3f2a91", "promote 3f2a91 --name churn --metric roc_auc", "promote 3f2a91 --force"),
        ("it is the champion", "it was refused; the model version says why"),
    ),
}


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = console.parser("runs", __doc__, "diff @champion 3f2a91; each COMMAND has its own --help")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands = {name: _command(subparsers, name) for name in COMMANDS}
    commands["publish"].add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", help="with a model.json; all of out/ if none"
    )
    commands["publish"].add_argument("--rev", help="publish this commit's results instead, from DVC's cache or remote")
    commands["doctor"].add_argument("--dry-run", action="store_true", help="only list what would be closed")
    for name in ("reproduce", "promote"):
        commands[name].add_argument("run", metavar="RUN")
    for name in ("a", "b"):
        commands["diff"].add_argument(name, metavar=name.upper())
    promote = commands["promote"]
    promote.add_argument("--name", help="of the registered model; the experiment's name if not given")
    promote.add_argument("--metric", choices=COMPARED_METRICS, default="log_loss", help="what decides (log_loss)")
    promote.add_argument("--force", action="store_true", help="whatever the numbers are; the version records that")
    return parser


def _command(subparsers: Any, name: str) -> argparse.ArgumentParser:
    description, examples, meanings = COMMANDS[name]
    listed = "\n".join(f"  python -m pipeline.runs {example}" for example in examples)
    command: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=description.partition(". ")[0],
        description=description,
        epilog=f"examples:\n{listed}\n\n{EXIT_CODES % meanings}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="one JSON object on stdout, all else on stderr")
    return command


def main(argv: Sequence[str]) -> None:
    args = parser().parse_args(argv)
    run = import_module(f"pipeline.runs.{args.command}").run
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # after its import, which sets another; errors are raised anyway
    try:
        with redirect_stdout(sys.stderr) if args.json else nullcontext():
            success, content = run(args)
    except Exception as error:
        if isinstance(error, PipelineError) or not is_of_store(error):
            raise
        raise CommandError(f"the tracking store must answer and be whole; it says: {first_line(error)}") from error
    if args.json:
        print(json.dumps(content, indent=2))
    if not success:
        sys.exit(console.FAILED)


if __name__ == "__main__":
    console.run(main)
