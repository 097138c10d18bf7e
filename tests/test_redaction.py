"""Credentials: on any text in linear time, in whatever form, refused in a configuration."""

import base64
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config.config import VOCABULARY, check_sweep, compose
from pipeline.config.hydra_settings import refuse_secret_settings
from pipeline.diff_redaction import scrub_diff
from pipeline.errors import PipelineError
from pipeline.files import ROOT
from pipeline.redaction import refuse_secrets, scrub, without_credentials
from tests.conftest import Shell, change_overrides
from tests.secrets import LEAKED, QUOTED_VALUE, VALUE

UNITS = (
    *("a", "a:", "a://", "://", "://@", "@", ".", "/", "-", "+", "x@", "é", "%40", "0123456789abcdef", "a=", "w_=", " ", "\n"),
    *("?a", "&a", "?password", "&token", "?password=", "token=", "sig=", "mysql", "mysql+", "mysql://", "mysql://a@"),
    *("Bearer ", "Bearer", "Authorization: ", "authorization:basic ", "\n+", "\n+token", "password", "password='"),
    *("postgresql.", "token=\"a'", "secret_", "api_key", "token : ", "pwd: a", "eyJ", "eyJ-", "eyJaaaaaaaaa.", "ghp_"),
    *("'", "sk-", "sk-aa-", "xoxb-", "pypi-", "hf_", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "BEGIN RSA PRIVATE KEY"),
)
OPENINGS = ("", "://", "mysql://", "?", "+token='", "-----BEGIN RSA PRIVATE KEY-----\n")


def seconds(work: Callable[[], object]) -> float:
    """Of a processor, which other processes do not change."""
    start = time.process_time()
    work()
    return time.process_time() - start


def scrub_file(text: str) -> str:
    return scrub_diff(text, False)


@pytest.mark.parametrize("scrubbed", [scrub, scrub_file])
def test_any_text_takes_time_by_its_length(scrubbed: Callable[[str], str], secret_environment: None) -> None:
    """A megabyte takes a tenth of a second to two, and 10 kB a hundredth of that; a quadratic pattern a second."""
    for opening in OPENINGS:
        for unit in UNITS:
            text = opening + unit * (10_000 // len(unit))
            assert seconds(lambda text=text: scrubbed(text)) < 0.5, (opening, unit)  # type: ignore[misc]


@pytest.mark.evidence
@pytest.mark.parametrize("scrubbed", [scrub, scrub_file])
def test_a_megabyte(scrubbed: Callable[[str], str], secret_environment: None) -> None:
    for unit in UNITS:
        assert seconds(lambda unit=unit: scrubbed(unit * (10_000 // len(unit)))) < 0.5, unit  # type: ignore[misc]
        half = unit * (500_000 // len(unit))
        took, took_twice = (seconds(lambda text=text: scrubbed(text)) for text in (half, 2 * half))  # type: ignore[misc]
        assert took_twice < min(3, 3 * took + 1), unit


@pytest.mark.parametrize("before", ["", "a", "ab", "ada:"])
def test_a_secret_in_base64_is_not_shown(secret_environment: None, before: str) -> None:
    encoded = base64.b64encode(f"{before}{VALUE}:b".encode()).decode()
    shown = scrub(f"x-login {encoded} refused")
    assert "***" in shown
    assert encoded[4:-6] not in shown
    assert scrub(f"Authorization: Basic {base64.b64encode(b'ada:guessed').decode()}") == "Authorization: Basic ***"


def test_every_line_of_a_secret_of_several_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "-----BEGIN PRIVATE KEY-----",
        "MIIEvQIBADANBgkqhkiG9w0BAQEF",
        "AASCBKcwggSjAgEAAoIBAQC7",
        "-----END PRIVATE KEY-----",
    ]
    monkeypatch.setenv("SERVICE_PRIVATE_KEY", "\n".join(lines))
    assert scrub(f"cannot read {lines[2]}: {lines[0]}") == f"cannot read ***: {lines[0]}"
    monkeypatch.setenv("SERVICE_PRIVATE_KEY", "\\n".join(lines))
    assert scrub(f"cannot read {lines[1]}") == "cannot read ***"
    assert scrub("\n".join(lines)).count("***") == 2


def test_a_secret_in_quotes_in_json_and_in_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", 'p"q/r s+t')
    assert scrub('{"x": "p\\"q/r s+t"} p%22q%2Fr%20s%2Bt p"q/r s+t') == '{"x": "***"} *** ***'


REFUSED = {
    "data.path": "data.path='data/${oc.env:SOME_TOKEN}/t.csv'",
    "tracking.experiment": "tracking.experiment='${oc.env:SOME_TOKEN}'",
    "data.positive": f"data.positive='{VALUE}'",
    "data.target": f"data.target={QUOTED_VALUE}",
}


@pytest.mark.parametrize("key", REFUSED)
def test_a_configuration_with_a_secret_is_refused(key: str, secret_environment: None) -> None:
    sentence = f"{key} must hold no credential, .*; got the value of the environment variable (SOME_TOKEN|MLFLOW_TRACKING_URI)"
    table = [word for word in ("data=table", "data.path=t.csv", "data.target=y") if not word.startswith(f"{key}=")]
    with pytest.raises(PipelineError, match=sentence) as raised:
        compose([*table, REFUSED[key]])
    assert VALUE not in str(raised.value)
    assert QUOTED_VALUE not in str(raised.value)
    with pytest.raises(PipelineError, match=sentence):
        check_sweep([*([word] for word in table), [f"{key}=other1.csv", REFUSED[key]]])


@pytest.mark.parametrize("key", REFUSED)
def test_the_key_that_was_typed_is_named(key: str, secret_environment: None) -> None:
    with pytest.raises(PipelineError, match=f"^{key} must hold no credential"):
        refuse_secret_settings(["data=table", REFUSED[key]])


def test_what_is_no_secret_is_not_refused(monkeypatch: pytest.MonkeyPatch, secret_environment: None) -> None:
    """A tracking server's own credentials are taken out; a word of the configuration's own is no secret."""
    assert compose(["tracking=server"]).to_dict()["tracking"]["uri"] == "https://host:5000"
    refuse_secret_settings(["tracking=server", "+hydra.job.env_set.TOKENIZERS_PARALLELISM=false"])
    for uri in ("${oc.env:MLFLOW_TRACKING_URI}", f"https://ada:{QUOTED_VALUE}@host:5000"):
        refuse_secret_settings(["tracking=server", f"tracking.uri={uri}"])
        assert compose(["tracking=server", f"tracking.uri='{uri}'"]).to_dict()["tracking"]["uri"] == "https://host:5000"
    for word in ("document", "logistic-regression", "optimize", "breast_cancer"):
        monkeypatch.setenv("SOME_TOKEN", word)
        monkeypatch.setenv("DB_PASSWORD", "short7!")
        compose(["experiment=breast_cancer", "tracking.experiment='short7!'"])
        refuse_secret_settings(["experiment=breast_cancer", "hydra.run.dir='out/short7!'"])
    monkeypatch.setenv("DOCKER_HOST", "ssh://patients@host")  # an account, not a password
    refuse_secrets([("data.path", "data/patients.csv")], VOCABULARY)


@pytest.mark.slow
def test_a_refused_secret_is_written_nowhere(repo: Path, shell: Shell) -> None:
    secret = "kT8zVn3QxY71"
    all_overrides = [
        "data=table data.target=y data.path='data/${oc.env:AWS_SECRET_ACCESS_KEY}/t.csv'",
        "tracking.experiment='${oc.env:AWS_SECRET_ACCESS_KEY}'",
        "+hydra.job.env_set.SOME_TOKEN='${oc.env:AWS_SECRET_ACCESS_KEY}'",
        "hydra.run.dir='out/${oc.env:AWS_SECRET_ACCESS_KEY}' hydra.sweep.dir='out/${oc.env:AWS_SECRET_ACCESS_KEY}'",
    ]
    commands = [f"python -m pipeline{sweep} {overrides}" for overrides in all_overrides for sweep in ("", " -m")]
    results = [shell(command, repo, AWS_SECRET_ACCESS_KEY=secret) for command in commands]
    change_overrides(repo, ["tracking.experiment=${oc.env:AWS_SECRET_ACCESS_KEY}"])
    results.append(shell("dvc repro", repo, AWS_SECRET_ACCESS_KEY=secret))
    for done in results:
        assert done.returncode != 0
        assert secret not in done.stdout + done.stderr
        assert "must hold no credential" in done.stderr
        assert "Traceback" not in done.stderr
    found = subprocess.run(["grep", "-rlF", secret, str(repo)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")
    assert not (repo / "dvc.lock").exists()


def test_a_uri_is_shown_without_its_credentials() -> None:
    assert without_credentials("https://ada:secret@host:5000/x@y") == "https://host:5000/x@y"
    assert without_credentials("sqlite:///mlruns/mlflow.db") == "sqlite:///mlruns/mlflow.db"


def test_scrub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ada:pass%40word@host:5000")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "nothing")
    said = "nothing at https://ada:pass%40word@host:5000/x or for pass@word, http://token@h"
    assert scrub(said) == "nothing at https://host:5000/x or for ***, http://h"
    assert scrub("'http://ada:pa'ss@h'") == "'http://h'"
    assert scrub("postgresql://ada:p/a@ss@h:1/db or http://h/x@y") == "postgresql://h:1/db or http://h/x@y"
    assert scrub("Authorization: Bearer abc.def-ghi") == "Authorization: Bearer ***"
    assert scrub("postgresql://h/db?user=a&password=p'q&x=1") == "postgresql://h/db?user=a&password=***&x=1"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://h/db?password=s3cret!")
    assert scrub("connection with s3cret! refused") == "connection with *** refused"


@pytest.mark.parametrize("error", ["ValueError", "PipelineError"])
def test_no_error_shows_a_secret(tmp_path: Path, shell: Shell, error: str) -> None:
    raiser = (
        "from pipeline import console; from pipeline.errors import PipelineError\n"
        f"def main(words): raise {error}('at http://ada:{LEAKED}@h with {LEAKED}')\nconsole.run(main)\n"
    )
    (tmp_path / "raiser.py").write_text(raiser)
    done = shell("python raiser.py", tmp_path, PYTHONPATH=str(ROOT), MLFLOW_TRACKING_PASSWORD=LEAKED)
    assert done.returncode == 1
    assert "at http://h with ***\n" in done.stderr
    assert ("Traceback" in done.stderr) == (error == "ValueError")
    assert LEAKED not in done.stderr
