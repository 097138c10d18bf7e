"""Credentials, which are never shown nor written: not in tags, parameters, logs, artifacts or files."""

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import unquote

URI_VARIABLE = "MLFLOW_TRACKING_URI"
SHORTEST = 6  # letters of a secret: shorter ones, say "true", are ordinary words
# A quote may be part of a password, and of a database's a slash, too.
IN_URI = re.compile(r"(\w[\w+.-]*://)([^/\s]*)@")
IN_DATABASE_URI = re.compile(r"((?:postgresql|mysql|mariadb|mssql|oracle)[\w+.-]*://)(\S*)@")
IN_QUERY = re.compile(r"([?&]\w*(?:password|passwd|pwd|secret|token|api_?key|access_key|sig)=)([^&\s\"{}]+)", re.IGNORECASE)
BEARER = re.compile(r"(Bearer\s+)[\w.~+/=-]{6,}")
SECRET_NAME = re.compile(
    r"(PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CONNECTION_STRING)(_|$)"
    r"|_(PASS|PWD|PAT)$",
    re.IGNORECASE,
)


def without_credentials(text: str) -> str:
    """A URI, or a text with URIs in it, as it may be shown."""
    return IN_QUERY.sub(r"\1***", IN_URI.sub(r"\1", IN_DATABASE_URI.sub(r"\1", text)))


def with_credentials(uri: str | None) -> str | None:
    """A URI as it was written, with the credentials that the environment has for it."""
    given = os.environ.get(URI_VARIABLE, "")
    return given if uri and uri == without_credentials(given) else uri


def scrub(text: str) -> str:
    """A text without what the environment, or a URI in it, holds of credentials."""
    text = BEARER.sub(r"\1***", without_credentials(text))
    for secret in _secrets(tuple(os.environ.items())):
        text = text.replace(secret, "***")
    return text


def first_line(error: BaseException) -> str:
    """What an error says first, as it may be shown; of a request that failed, not all that its library has to say."""
    return scrub((str(error).strip().splitlines() or [""])[0]).partition(" with exception ")[0]


@lru_cache(maxsize=1)
def _secrets(environment: tuple[tuple[str, str], ...]) -> list[str]:
    """The longest first. Every line that is shown asks for them: they are sought anew only where the environment changed."""
    return sorted(set(_secrets_in(environment)), key=len, reverse=True)


def _secrets_in(environment: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for name, value in environment:
        found = [value] if SECRET_NAME.search(name) else []
        found += [login.partition(":")[2] or login for uri in (IN_URI, IN_DATABASE_URI) for _, login in uri.findall(value)]
        found += [secret for _, secret in IN_QUERY.findall(value)]
        yield from (form for secret in found for form in (secret, unquote(secret)) if len(form) >= SHORTEST)
