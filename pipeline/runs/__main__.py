"""What is done to runs afterwards: list them, send them to MLflow, close, repeat, compare and verify them, choose the best."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout

from pipeline import console
from pipeline.errors import CommandError, PipelineError
from pipeline.redaction import first_line
from pipeline.runs import diff, doctor, promote, publish, reproduce, verify
from pipeline.runs import list as list_runs
from pipeline.tracking.sqlite_store import is_of_store

COMMANDS = (list_runs, publish, doctor, reproduce, diff, verify, promote)


def parser() -> argparse.ArgumentParser:
    """The command line. MLflow is imported when a command runs: its help must not wait for that."""
    parser = console.parser("runs", __doc__, "diff @champion 3f2a91; each COMMAND has its own --help")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(argv: Sequence[str]) -> None:
    args = parser().parse_args(argv)
    import pipeline.tracking.mlflow_run  # noqa: F401  sets the level of MLflow's logger

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # errors are raised anyway
    try:
        with redirect_stdout(sys.stderr) if args.json else nullcontext():
            success, content = args.command(args)
    except Exception as error:
        if isinstance(error, PipelineError) or not is_of_store(error):
            raise
        raise CommandError(f"the tracking store must answer and be undamaged; it says: {first_line(error)}") from error
    if args.json:
        print(json.dumps(content, indent=2))
    if not success:
        sys.exit(console.FAILED)


if __name__ == "__main__":
    console.run(main)
