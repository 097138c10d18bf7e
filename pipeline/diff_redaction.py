"""Credentials in files: names of files that hold them, and what looks like one in a text, found in linear time."""

import re
from fnmatch import fnmatchcase

from pipeline.redaction import scrub

# Patterns of names, separated by spaces.
FILES = """
.env* *.env *.pem *.key *.p12 *.pfx *.jks *.keystore *.kdbx *.kdb *.ppk *.gpg *.ovpn *.p8 *.asc id_rsa* id_dsa* id_ecdsa*
id_ed25519* .netrc _netrc .pypirc .npmrc .yarnrc* .htpasswd .pgpass .my.cnf .git-credentials .dockercfg .s3cfg .boto
.vault-token *.token *.tokens *credential* client_secret* *service*account* token.* tokens.* secret.* secrets.* .secret*
*.tfstate* *.tfvars *kubeconfig* config.local rclone.conf passwords.* password.*
"""
FOLDERS = {".aws", ".ssh", ".gnupg", ".kube", ".docker", ".azure", ".gcloud", ".oci", ".secrets", "secrets", "credentials"}

TOKEN = re.compile(
    r"\b(?:A[KS]IA[0-9A-Z]{16}|gh[opsur]_[A-Za-z0-9]{20,}|github_pat_\w{22,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}"
    r"|hf_[A-Za-z0-9]{20,}|sk-(?:[a-z]{2,8}-)?[A-Za-z0-9_]{20,}|sk_live_\w{16,}|AIza[\w-]{30,}|ya29\.[\w-]{20,}"
    r"|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{40,}|dapi[0-9a-f]{32}|(?<!-)eyJ[\w-]{8,}+\.[\w-]{8,}+(?:\.[\w-]*)?)"
)
# The lines after a key's first: as in a PEM file, with a diff's signs, or in a JSON string.
PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----((?:[A-Za-z0-9+/=\s\\:,\"'.]++|-(?!----))*+)", re.IGNORECASE
)
BASE64 = re.compile(r"(^\+|(?<![A-Za-z0-9+/=]))[A-Za-z0-9+/=]{16,}", re.MULTILINE)
HINTS = ("passw", "passphrase", "passcode", "pwd", "secret", "token", "credential", "key", "connection")  # one is in each KEY
KEY = (
    r"(?:passw(?:or)?d|passphrase|passcode|pwd|secret|token|credential|(?:api|access|private|account|signing|encryption)[_-]?key"
    r"|connection_?string)\w{0,40}+[\"']?\]?\s{0,8}+"
)
ANNOTATION = r"(?::\s{0,4}+\w{1,16}+\s{0,4}+(?==))?"  # as in `token: str = "..."`
QUOTED_VALUE = re.compile(rf"({KEY}{ANNOTATION}[:=]>?\s{{0,8}}+)([\"'])[^\"'\n]{{6,}}+\2", re.IGNORECASE)
BARE_VALUE = re.compile(rf"({KEY}[:=]\s{{0,8}}+)(?![$\"'\[{{&*|>])[^\s\"'#,;()]{{6,}}", re.IGNORECASE)


def is_private(path: str) -> bool:
    """Whether a file holds credentials, by its name (unless it is a module's) or by a folder's above it."""
    *folders, name = path.lower().split("/")
    by_name = any(fnmatchcase(name, pattern) for pattern in FILES.split()) and not name.endswith(".py")
    return by_name or not FOLDERS.isdisjoint(folders)


def scrub_diff(diff: str, is_code: bool) -> str:
    """A diff, of code or of other files, without what looks like a credential in its lines.

    In added and removed lines, that includes what is assigned to a secret name: in code a literal, elsewhere any value.
    """
    diff = TOKEN.sub("***", PRIVATE_KEY.sub(_scrub_private_key, diff))
    return scrub("\n".join(_scrub_line(line, is_code) for line in diff.split("\n")))


def _scrub_private_key(block: re.Match[str]) -> str:
    return block[0].removesuffix(block[1]) + BASE64.sub(r"\1***", block[1])


def _scrub_line(line: str, is_code: bool) -> str:
    lower = line.lower()
    if not line.startswith(("+", "-")) or not any(hint in lower for hint in HINTS):
        return line
    line = QUOTED_VALUE.sub(r"\1\2***\2", line)
    return line if is_code else BARE_VALUE.sub(r"\1***", line)
