"""What looks like a credential is taken out of a diff, and private files are known by their names."""

from collections.abc import Iterator

import pytest

from pipeline.diff_redaction import is_private, scrub_diff


def lines(text: str, is_code: bool = False) -> Iterator[str]:
    return iter(scrub_diff("".join(f"+{line}\n" for line in text.splitlines()), is_code).splitlines())


PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1\nAwEHoUQDQgAEaqtHDq==\n-----END EC PRIVATE KEY-----\nx = 1"
IN_FILES = {
    '"private_key": "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0\\n-----END PRIVATE KEY-----"': "MIIE",
    "aws_access_key_id = AKIAIOSFODNN7EXAMPLA": "AKIA",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY": "wJal",
    "password: swordfish": "swordfish",
    "//registry.npmjs.org/:_authToken=f00ba4f00ba4": "f00ba4",
    'token: str = "0a1b2c3d"': "0a1b",
    'headers["api_key"] = "0a1b2c3d"': "0a1b",
    "call('ghp_abcdefghijklmnopqrstuvwxyz0123456789')": "ghp_",
    "call('glpat-abcdefghij0123456789')": "glpat",
    "call('xoxb-1234567890-abcdef')": "xoxb",
    "call('hf_abcdefghijklmnopqrstuvwxyzABCD')": "hf_",
    "call('eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl')": "eyJ",
    "url: postgresql://ada:sw/ord@host/db": "sw/ord",
}


@pytest.mark.parametrize("line", IN_FILES)
def test_what_looks_like_a_credential_is_taken_out_of_a_file(line: str) -> None:
    (scrubbed,) = lines(line)
    assert IN_FILES[line] not in scrubbed
    assert scrubbed.startswith("+")


def test_a_private_key_is_taken_out_line_by_line() -> None:
    begin, *key, end, last = lines(PEM)
    assert (begin, key, end, last) == (f"+{PEM.splitlines()[0]}", ["+***"] * 2, "+-----END EC PRIVATE KEY-----", "+x = 1")


CODE = """token = self.next_token(words)
password = os.environ["DB_PASSWORD"]
if token == "BEGIN": pass
SECRET = re.compile("-----BEGIN PRIVATE KEY-----(.*)")
max_tokens: int = 100_000
sort(key=lambda x: x.name)"""


def test_code_stays() -> None:
    unchanged = [line for line in CODE.splitlines() if "==" not in line]
    assert list(lines("\n".join(unchanged), is_code=True)) == [f"+{line}" for line in unchanged]


PRIVATE = (
    *("credentials.json", ".aws/credentials", "conf/.aws/config", ".pypirc", ".netrc", "kubeconfig", ".kube/config", ".npmrc"),
    *(
        ".dvc/config.local",
        "conf/my-service-account.json",
        "a.p12",
        "a.pfx",
        "b.kdbx",
        ".htpasswd",
        "terraform.tfstate",
        "id_rsa",
    ),
    *(".docker/config.json", ".env", "conf/.env.local", "conf/prod.env", "conf/secrets.yaml", "pipeline/client_secret_1.json"),
)


def test_private_names() -> None:
    assert [name for name in PRIVATE if not is_private(name)] == []
    code = ("pipeline/redaction.py", "pipeline/credentials.py", "conf/data/table.yaml", "pipeline/id_map.py", "dvc.yaml")
    assert [name for name in code if is_private(name)] == []
