"""What git knows of the code: the commit, whether the files differ from it, and how. Where git fails, a GitError says why: no
failure passes for "nothing changed".

git works on a copy of its index and makes objects in a temporary folder: the repository is not touched.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.diff_redaction import is_private, scrub_diff
from pipeline.files import ROOT

# Where the stages' code and configuration are. New files elsewhere, which no stage reads, are not shown.
CODE = ("pipeline", "conf", "dvc.yaml", "overrides.yaml", "pyproject.toml", "requirements.lock", ".dvcignore")
READ = (".py", ".yaml")  # of CODE, what a stage reads even where git ignores it
ELSEWHERE = (":!dvc.lock", ":!out", ":!data", ":!mlruns")  # what is hashed in its own way, or made
LONGEST_DIFF = 2**20  # bytes
SECONDS = 10.0
SETTINGS = ("core.fsmonitor=false", "core.untrackedCache=false", "core.quotePath=true", "color.ui=false")
INHERITED = tuple(f"GIT_CONFIG_{what}" for what in ("GLOBAL", "SYSTEM", "NOSYSTEM", "COUNT", "KEY_", "VALUE_"))
PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3")
SUBMODULE = "160000"  # its mode
MOST_PATHS = 500  # on one command line


class GitError(Exception):
    """git could not tell. The message says why, in one line."""


def in_repository() -> bool:
    """Whether a repository's .git lies here or above, be it sound or not."""
    return any(os.path.lexists(folder / ".git") for folder in (ROOT, *ROOT.parents))


def commit() -> str:
    found = _git("rev-parse", "--verify", "HEAD").decode().strip()
    if not found:
        raise GitError("git rev-parse names no commit")
    return found


def is_dirty() -> bool:
    """Whether any file, be it new, differs from the commit; but for dvc.lock, which `dvc repro` writes after each stage."""
    flags = ("--porcelain", "--untracked-files=normal", "--ignore-submodules=none")
    with _index() as env:
        return bool(_git("status", *flags, "--", ".", ":!dvc.lock", **env))


def code_diff() -> tuple[bytes | None, list[str]]:
    """What `git apply` makes of a clean commit to have its files as they are here, and CODE's new ones; None: it is too long.

    Beside it, why it may not do so: credentials that were taken out, and the files of CODE that were left out, since they are
    there to hold credentials, or are binary (where none can be seen), or are ignored by git.
    """
    with _index() as env:
        new = _names(_git("ls-files", "-z", "-o", "--exclude-standard", "--", *CODE, **env))
        changed = _names(_git("ls-files", "-z", "-m", "--", ".", *ELSEWHERE, **env))
        if _bytes(*new, *changed) > 16 * LONGEST_DIFF:
            return None, []
        _require_one_repository(new, env)
        _git("add", "-u", "--", ".", *ELSEWHERE, **env)
        shown = [name for name in new if not is_private(name)]
        _git("update-index", "--add", "-z", "--stdin", stdin="\0".join(shown), **env)
        ignored = _names(_git("ls-files", "-z", "-o", "-i", "--exclude-standard", "--", *CODE, **env))
        left_out = [f"{name} (ignored by git)" for name in ignored if name.endswith(READ) and "/." not in f"/{name}"]
        left_out += [f"{name} (by its name)" for name in new if is_private(name)]
        changes, binary = _changes(env), _binary(env)
        left_out += [f"{name} (by its name)" for name in changes if _is_code(name) and is_private(name)]
        left_out += [f"{name} (binary)" for name in changes if _is_code(name) and name in binary and not is_private(name)]
        return _shown([name for name in changes if name not in binary and not is_private(name)], env, left_out)


def _shown(names: Sequence[str], env: dict[str, str], left_out: list[str]) -> tuple[bytes | None, list[str]]:
    """The diff of these files without credentials, and what is missing in it."""
    parts = [(_diff([name for name in names if name.endswith(".py") == is_code], env), is_code) for is_code in (True, False)]
    if sum(len(diff) for diff, _ in parts) > LONGEST_DIFF:
        return None, left_out
    texts = [(diff.decode(errors="surrogateescape"), is_code) for diff, is_code in parts]
    scrubbed = [scrub_diff(text, is_code) for text, is_code in texts]
    if scrubbed != [text for text, _ in texts]:
        left_out = ["what looks like a credential", *left_out]
    return "".join(scrubbed).encode(errors="surrogateescape"), left_out


def _diff(names: Sequence[str], env: dict[str, str]) -> bytes:
    pieces = (names[i : i + MOST_PATHS] for i in range(0, len(names), MOST_PATHS))
    literal = {**env, "GIT_LITERAL_PATHSPECS": "1"}
    return b"".join(_git("diff", "--cached", *PLAIN, "HEAD", "--", *piece, **literal) for piece in pieces)


def _is_code(name: str) -> bool:
    return name in CODE or name.startswith(tuple(f"{place}/" for place in CODE))


def _changes(env: dict[str, str]) -> list[str]:
    """The files that differ from the commit, but for new ones elsewhere, and for submodules."""
    fields = _names(_git("diff", "--cached", "--raw", "-z", "--no-renames", "--relative", "HEAD", "--", ".", *ELSEWHERE, **env))
    pairs = zip(fields[::2], fields[1::2], strict=True)
    return [name for how, name in pairs if SUBMODULE not in how and (not how.endswith(" A") or _is_code(name))]


def _binary(env: dict[str, str]) -> set[str]:
    """Those of which git makes no lines."""
    counted = ("--cached", "--numstat", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--relative", "HEAD")
    lines = _names(_git("diff", *counted, "--", ".", *ELSEWHERE, **env))
    return {line.split("\t", 2)[2] for line in lines if line.startswith("-\t-\t")}


def _require_one_repository(new: Iterable[str], env: dict[str, str]) -> None:
    """Raise GitError where a part of CODE is in a repository of its own, whose changes cannot be shown here."""
    if nested := next((name for name in new if name.endswith("/")), None):
        raise GitError(f"{nested} is a repository of its own")
    against = ("--raw", "-z", "--no-renames", "--relative", "--ignore-submodules=none", "HEAD")
    fields = _names(_git("diff", *against, "--", *CODE, **env))
    if changed := next((name for how, name in zip(fields[::2], fields[1::2], strict=True) if SUBMODULE in how), None):
        raise GitError(f"{changed} is a repository of its own and has changed")


@contextmanager
def _index() -> Iterator[dict[str, str]]:
    """The environment in which git uses a copy of its index, where no file is assumed to be unchanged."""
    index, objects = (_git("rev-parse", "--path-format=absolute", "--git-path", name) for name in ("index", "objects"))
    real, quoted = (os.fsdecode(path.removesuffix(b"\n")) for path in (index, objects))
    quoted = '"' + quoted.replace("\\", "\\\\").replace('"', '\\"') + '"'
    try:
        temporary = tempfile.mkdtemp()
    except OSError as error:
        raise GitError(f"a temporary folder cannot be made: {error.strerror}") from None
    try:
        env = {"GIT_INDEX_FILE": f"{temporary}/index", "GIT_OBJECT_DIRECTORY": f"{temporary}/objects"}
        env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = quoted
        Path(temporary, "objects").mkdir()
        if Path(real).exists():
            shutil.copy2(real, env["GIT_INDEX_FILE"])  # with its time, by which git knows which files to read again
        else:
            _git("read-tree", "HEAD", **env)
        _assume_nothing(env)
        yield env
    except OSError as error:
        raise GitError(f"a temporary index cannot be used: {error.strerror}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _assume_nothing(env: dict[str, str]) -> None:
    """Undo `git update-index --assume-unchanged`, and `--skip-worktree` of what is there."""
    entries = [entry.partition(" ")[::2] for entry in _names(_git("ls-files", "-v", "-z", **env))]
    assumed = [name for tag, name in entries if tag.islower()]
    skipped = [name for tag, name in entries if tag.upper() == "S" and os.path.lexists(ROOT / name)]
    for flag, names in (("--no-assume-unchanged", assumed), ("--no-skip-worktree", skipped)):
        if names:
            _git("update-index", flag, "-z", "--stdin", stdin="\0".join(names), **env)


def _bytes(*names: str) -> int:
    found = 0
    for name in names:
        with suppress(OSError):  # it was deleted
            found += (ROOT / name).lstat().st_size
    return found


def _names(output: bytes) -> list[str]:
    return [os.fsdecode(name) for name in output.split(b"\0") if name]


def _git(*words: str, stdin: str = "", **env: str) -> bytes:
    """What git prints, told by no GIT_ variable of a hook where to work. Raises GitError unless it succeeds within SECONDS."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key.startswith(INHERITED)}
    ours = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    command = ["git", *(part for setting in SETTINGS for part in ("-c", setting)), *words]
    try:
        out, said, code = _finished(command, {**kept, **ours, **env}, os.fsencode(stdin))
    except subprocess.TimeoutExpired:
        raise GitError(f"git {words[0]} took longer than {SECONDS:.0f} s") from None
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror}") from None
    lines = said.decode(errors="replace").splitlines()
    skipped = [line for line in lines if "could not open directory" in line]  # of which it says nothing more
    if code or skipped:
        reasons = skipped or [line for line in lines if line.startswith(("fatal: ", "error: "))] or lines or ["no words"]
        raise GitError(f"git {words[0]} ended with: {reasons[0]}")
    return out


def _finished(command: list[str], env: dict[str, str], stdin: bytes) -> tuple[bytes, bytes, int]:
    """What a command prints, what it says on stderr, and its exit code; what takes too long ends with all that it started."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        try:
            out, said = process.communicate(stdin, SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return out, said, process.returncode
