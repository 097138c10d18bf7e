"""Two runs on one test table."""

from pipeline.errors import CommandError
from pipeline.evaluation.intervals import Difference, paired_bootstrap
from pipeline.runs._find import Records, name_of

SEED = 0


def compare(a: Records, b: Records) -> dict[str, Difference]:
    """b - a in each metric, with its interval. Raises CommandError unless both were tested on the same table."""
    both = f"{name_of(a.run)} and {name_of(b.run)}"
    if a.card.data.digest["test"] != b.card.data.digest["test"] or a.card.classes != b.card.classes:
        raise CommandError(f"two runs must have been tested on one table for their metrics to be compared; {both} were not")
    (z_a, y_a), (z_b, y_b) = a.scores(), b.scores()
    if y_a.tolist() != y_b.tolist():
        raise CommandError(f"the predictions of {both} must be of the same rows; one of them is damaged")
    return paired_bootstrap(z_a, z_b, y_a, seed=SEED)
