"""Where and by whom a run was made."""

import getpass
import os

import pytest

from pipeline.tracking.provenance import provenance


def test_the_user_without_a_variable_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    assert provenance()["mlflow.user"] == getpass.getuser() != "unknown"
    monkeypatch.setattr(os, "getuid", lambda: 54321)  # an account without a name
    assert provenance()["mlflow.user"] == "54321"
