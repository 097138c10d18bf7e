"""Credentials, which are never shown nor written: not in tags, parameters, logs, artifacts or files.

Each pattern takes linear time on any text: a repetition without a bound is possessive, or cannot begin again inside itself.
"""

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

from pipeline.errors import ConfigError
from pipeline.flatten import flatten

URI_VARIABLE = "MLFLOW_TRACKING_URI"
MIN_LENGTH = 6  # letters of a secret: shorter ones, say "true", are ordinary words
MIN_REFUSED_LENGTH = 8  # of one that a configuration must not hold
# A password may have a quote in it, and one for a database a slash, too.
IN_URI = re.compile(r"(://)(?:([^/\s]*)@)")
IN_DATABASE_URI = re.compile(r"((?:postgres|mysql|mariadb|mssql|oracle)[\w+.-]{0,24}://)(?:(\S*)@)?(\S*)")
KEYS = ("password", "passwd", "pwd", "secret", "token", "api_key", "apikey", "access_key", "sig")
IN_QUERY = re.compile(rf"([?&]\w++(?:{'|'.join(f'(?<={key})' for key in KEYS)})=)([^&\s\"{{}}]+)", re.IGNORECASE)
SCHEME = r"(?i:authorization)[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?i:basic|bearer|token|digest|negotiate)"
BEARER = re.compile(rf"((?:Bearer|{SCHEME})\s++)[\w.~+/=-]{{6,}}")
KEY = "(API|ACCESS|PRIVATE|SECRET|ENCRYPTION|SIGNING|DEPLOY|SSH|STORAGE|ACCOUNT|MASTER|AUTH)_?KEY"
SECRET_NAME = re.compile(
    rf"(PASSWORDS?|PASSWD|PASSPHRASE|PASSCODE|SECRETS?|TOKEN|CREDENTIALS?|{KEY}|CONNECTION_STRING)(_|$)|_(PASS|PWD|PAT|JWT)$",
    re.IGNORECASE,
)
LOGIN_SCHEMES = ("ssh://", "sftp://", "rsync://", "git://")  # in which a name without a password is no secret


def without_credentials(text: str) -> str:
    """A URI, or a text with URIs in it, as it may be shown."""
    return IN_QUERY.sub(r"\1***", IN_URI.sub(r"\1", IN_DATABASE_URI.sub(r"\1\3", text)))


def with_credentials(uri: str | None) -> str | None:
    """A URI as it was written, with the credentials that the environment has for it."""
    given = os.environ.get(URI_VARIABLE, "")
    return given if uri and uri == without_credentials(given) else uri


def scrub(text: str) -> str:
    """A text without the credentials that the environment, or a URI in the text, holds."""
    text = BEARER.sub(r"\1***", without_credentials(text))
    for form in _secrets(tuple(os.environ.items())):
        text = text.replace(form, "***")
    return text


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without credentials and without the exception inside that MLflow appends."""
    return scrub((str(error).strip().splitlines() or [""])[0]).partition(" with exception ")[0]


def refuse_secrets(values: Iterable[tuple[str, Any]], vocabulary: Sequence[str] = ()) -> None:
    """Raise ConfigError where a value of a configuration, given as (dotted key, value), holds a credential.

    That is: the value of an environment variable with a secret name, in any form of MIN_REFUSED_LENGTH letters or more; the
    credentials of a URI (those of tracking.uri are removed instead); any value of a key with a secret name. A variable whose
    value is part of a word of the vocabulary, such as `SOME_TOKEN=document`, holds no secret.
    """
    secrets = {
        form: variable
        for form, variable in _secrets(tuple(os.environ.items())).items()
        if len(form) >= MIN_REFUSED_LENGTH and not any(form in word for word in vocabulary)
    }
    leaves = (leaf for key, value in values for leaf in flatten(value, key, into_lists=True))
    for key, value in leaves:
        text = "" if value is None else str(value)
        stripped = without_credentials(text)
        rule = f"{scrub(key)} must hold no credential, since it is written to files and shown in MLflow"
        if variable := next((variable for form, variable in secrets.items() if form in stripped), None):
            raise ConfigError(f"{rule}; got the value of the environment variable {variable}")
        if key != "tracking.uri" and stripped != text:
            raise ConfigError(f"{rule}; got a URI with credentials in it")
        name = key.rpartition(".")[2]
        if text and SECRET_NAME.search(name):
            raise ConfigError(f"{rule}: set the environment variable {name} before the command; got a value for it")


@lru_cache(maxsize=1)  # every line that is logged needs them
def _secrets(environment: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The forms in which a secret may appear, the longest first, with the variables that they come from."""
    forms = {form: name for name, value in environment for secret in _secrets_in(name, value) for form in _forms(secret)}
    return dict(sorted(forms.items(), key=lambda item: len(item[0]), reverse=True))


def _secrets_in(name: str, value: str) -> Iterator[str]:
    if SECRET_NAME.search(name):
        yield value
    for match in (*IN_URI.finditer(value), *IN_DATABASE_URI.finditer(value)):
        account, _, password = (match[2] or "").partition(":")
        if password or not value.endswith(LOGIN_SCHEMES, 0, match.end(1)):
            yield password or account
    yield from (match[2] for match in IN_QUERY.finditer(value))


def _forms(secret: str) -> Iterator[str]:
    """As it is, in URIs, in JSON, in base64 (as for Basic authentication) and, of a text such as a PEM file, each line."""
    plain = unquote(secret)
    lines = [line.strip() for line in re.split(r"\n|\\n", secret) if not line.startswith("-----")]
    for form in (secret, secret.strip(), plain, quote(plain, safe=""), quote(plain), json.dumps(plain)[1:-1], *lines):
        if len(form) >= MIN_LENGTH:
            yield form
    if len(plain) >= MIN_REFUSED_LENGTH:
        yield from _in_base64(plain.encode(errors="surrogateescape"))


def _in_base64(secret: bytes) -> Iterator[str]:
    """The letters that depend on the secret alone, whatever is encoded before and after it: at each of three offsets."""
    for offset in range(3):
        letters = base64.b64encode(bytes(offset) + secret).decode().rstrip("=")
        own = letters[-(-offset * 8 // 6) : (offset + len(secret)) * 8 // 6]
        yield own
        yield own.replace("+", "-").replace("/", "_")
