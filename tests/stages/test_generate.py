"""What `generate` prints of a user's table: how it was read, and signs of a leak, on a line each."""

import json
from pathlib import Path

from tests.chain import run
from tests.conftest import Shell
from tests.survey import survey


def test_what_was_recognised_and_what_gives_the_label_away(repo: Path, forked: Shell) -> None:
    rows = [f"{i},{i * 37 % 11},{'late' if i > 19 else 'soon'}" for i in range(40)]
    (repo / "t.csv").write_text("\n".join([",a,when", *rows]) + "\n")
    command = "python -m pipeline.stages.generate data=table data.path=t.csv data.target=when"
    done = forked(f"{command} data.positive=soon", repo)
    assert done.stdout.startswith(
        "read t.csv: 40 rows; features: 1; target when: late or soon, the positive class being soon\n"
        "left out: Unnamed: 0 (has no name); 'data.keep=[Unnamed: 0]' keeps it\n"
    )
    assert "test rows stand in the training part, too" in done.stderr
    kept = forked(f"{command} 'data.keep=[Unnamed: 0]'", repo)
    assert kept.stderr == "warning: Unnamed: 0 alone separates the classes of the training rows: is it known before when is?\n"


def test_the_document_says_nothing_new(repo: Path, forked: Shell) -> None:
    done = forked("python -m pipeline.stages.generate", repo)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_an_untracked_table_in_an_experiment_s_copy(repo: Path, shell: Shell, forked: Shell, tmp_path: Path) -> None:
    words = f"{survey(repo, 'data/my survey.csv')} data.target=3_4"
    copy = tmp_path / "copy"
    shell(f"git clone -q . {copy} && cd {copy} && rm -rf data && mkdir data", repo)
    done = forked(f"python -m pipeline.stages.generate {words}", copy, DVC_ROOT=str(repo))
    assert (
        "`git add 'data/my survey.csv'`, or `dvc add 'data/my survey.csv' && git add 'data/my survey.csv.dvc'`;" in done.stderr
    )
    assert done.stderr.count("\n") == 1
    shell("rm data/*.csv", repo)
    assert "there is none at" in forked(f"python -m pipeline.stages.generate {words}", copy, DVC_ROOT=str(repo)).stderr


def test_a_table_s_digest_is_of_its_numbers_and_their_meaning(tmp_path: Path) -> None:
    digests = []
    for name, overrides in {"a": (), "same": (), "seed": ("data.seed=1",)}.items():
        run("generate", tmp_path / name, *overrides)
        digests.append(json.loads((tmp_path / name / "data" / "schema.json").read_text())["digest"]["training"])
    assert digests[0] == digests[1] != digests[2]
