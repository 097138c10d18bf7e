"""What the help of every command of `python -m pipeline.runs` has."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

RUN = (
    "a run id, as `runs list` shows it, a fingerprint (6 letters at least), a unique beginning of either, @champion or "
    "NAME@champion; of a fingerprint that jobs of sweeps share with one run outside sweeps, it is the latter"
)
Subparsers = Any  # argparse has no public name for it
Run = Callable[[argparse.Namespace], tuple[bool, dict[str, Any]]]  # gives whether it succeeded, and what --json prints


def add_command(subparsers: Subparsers, run: Run, doc: str, examples: Sequence[str], codes: str) -> argparse.ArgumentParser:
    """A command named by the module of `run`. examples: what follows its name; codes: what the exit codes 0 and 1 mean."""
    name = run.__module__.rpartition(".")[2]
    listed = "\n".join(f"  python -m pipeline.runs {name} {example}".rstrip() for example in examples)
    meanings = f"{codes}, or an error in one sentence on stderr; 2 wrong usage".replace("; ", "\n           ")
    command: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=doc.partition("\n")[0],
        description=doc,
        epilog=f"examples:\n{listed}\n\nexit code: {meanings}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="one JSON object on stdout, all else on stderr")
    command.set_defaults(command=run)
    return command
