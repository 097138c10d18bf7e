"""What git knows of the code: the commit, whether the files differ from it, and how.

Where git fails, a GitError says why: no failure is taken for "nothing changed". git works on a copy of its index and makes
objects in a temporary folder: the repository is not touched.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.diff_redaction import is_private, scrub_diff
from pipeline.files import ROOT

# Where the stages' code and configuration are. New files elsewhere, which no stage reads, are left out.
CODE = ("pipeline", "conf", "dvc.yaml", "overrides.yaml", "pyproject.toml", "requirements.lock", ".dvcignore")
SUFFIXES = (".py", ".yaml")  # of the files of CODE that a stage reads even where git ignores them
TRACKED = (".", ":!dvc.lock", ":!out", ":!data", ":!mlruns")  # all files but those that are generated or have their own hashes
MAX_DIFF = 2**20  # bytes
TIMEOUT = 10.0  # seconds
SETTINGS = ("core.fsmonitor=false", "core.untrackedCache=false", "core.quotePath=true", "color.ui=false")
INHERITED = tuple(f"GIT_CONFIG_{name}" for name in ("GLOBAL", "SYSTEM", "NOSYSTEM", "COUNT", "KEY_", "VALUE_"))
PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3")
SUBMODULE = "160000"  # its mode
MAX_PATHS = 500  # on one command line


class GitError(Exception):
    """git could not tell. The message says why, in one line."""


def in_repository() -> bool:
    """Whether there is a .git here or above, be it sound or not."""
    return any(os.path.lexists(folder / ".git") for folder in (ROOT, *ROOT.parents))


def commit() -> str:
    commit = _run("rev-parse", "--verify", "HEAD").decode().strip()
    if not commit:
        raise GitError("git rev-parse names no commit")
    return commit


def is_dirty() -> bool:
    """Whether any file, be it new, differs from the commit; but for dvc.lock, which `dvc repro` writes after each stage."""
    flags = ("--porcelain", "--untracked-files=normal", "--ignore-submodules=none")
    with _copy_of_index() as index:
        return bool(index.run("status", *flags, "--", ".", ":!dvc.lock"))


def code_diff() -> tuple[bytes | None, list[str]]:
    """What `git apply` makes of a clean commit to have its files as they are here, and CODE's new ones; None: it is too long.

    Beside it, why it may not do so: credentials that were removed, and the files of CODE that were left out because they hold
    credentials by their names, are binary (where none can be seen), or are ignored by git.
    """
    with _copy_of_index() as index:
        new = index.names("ls-files", "-o", "--exclude-standard", "--", *CODE)
        modified = index.names("ls-files", "-m", "--", *TRACKED)
        if _size([*new, *modified]) > 16 * MAX_DIFF:
            return None, []
        index.check_one_repository(new)
        index.add(name for name in new if not is_private(name))
        changed, binary = index.changed(), index.binary()
        left_out = [f"{name} (ignored by git)" for name in index.ignored()]
        left_out += [f"{name} (by its name)" for name in [*new, *filter(_is_code, changed)] if is_private(name)]
        public = [name for name in changed if not is_private(name)]
        left_out += [f"{name} (binary)" for name in public if name in binary and _is_code(name)]
        diff, is_scrubbed = index.scrubbed_diff([name for name in public if name not in binary])
        return diff, ["what looks like a credential", *left_out] if is_scrubbed else left_out


@dataclass(frozen=True)
class _Index:
    """A copy of git's index: `env` has git use it."""

    env: dict[str, str]

    def run(self, *argv: str, stdin: str = "") -> bytes:
        return _run(*argv, stdin=stdin, **self.env)

    def names(self, command: str, *argv: str, **options: str) -> list[str]:
        """What a command lists, separated by NUL."""
        return [os.fsdecode(name) for name in self.run(command, "-z", *argv, **options).split(b"\0") if name]

    def add(self, new: Iterable[str]) -> None:
        """What has changed, and these new files."""
        self.run("add", "-u", "--", *TRACKED)
        self.run("update-index", "--add", "-z", "--stdin", stdin="\0".join(new))

    def changed(self) -> list[str]:
        """The files that differ from the commit, but for new ones outside CODE, and for submodules."""
        changes = self._raw_diff("--cached", "HEAD", "--", *TRACKED)
        return [name for mode, name in changes if SUBMODULE not in mode and (not mode.endswith(" A") or _is_code(name))]

    def binary(self) -> set[str]:
        """Those that git takes for binary."""
        flags = ("--cached", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv", "--relative", "HEAD")
        lines = self.names("diff", *flags, "--", *TRACKED)
        return {line.split("\t", 2)[2] for line in lines if line.startswith("-\t-\t")}

    def ignored(self) -> list[str]:
        """The files of CODE that git ignores though a stage may read them."""
        names = self.names("ls-files", "-o", "-i", "--exclude-standard", "--", *CODE)
        return [name for name in names if name.endswith(SUFFIXES) and "/." not in f"/{name}"]

    def check_one_repository(self, new: Iterable[str]) -> None:
        """Raise GitError where a part of CODE is in a repository of its own, whose changes this one does not know."""
        if nested := next((name for name in new if name.endswith("/")), None):
            raise GitError(f"{nested} is a repository of its own")
        changes = self._raw_diff("--ignore-submodules=none", "HEAD", "--", *CODE)
        if changed := next((name for mode, name in changes if SUBMODULE in mode), None):
            raise GitError(f"{changed} is a repository of its own and has changed")

    def scrubbed_diff(self, names: Sequence[str]) -> tuple[bytes | None, bool]:
        """The diff of these files without credentials (None: it is too long), and whether there were any."""
        diffs = {code: self._diff([name for name in names if name.endswith(".py") == code]) for code in (True, False)}
        if sum(map(len, diffs.values())) > MAX_DIFF:
            return None, False
        texts = {code: diff.decode(errors="surrogateescape") for code, diff in diffs.items()}
        scrubbed = {code: scrub_diff(text, code) for code, text in texts.items()}
        return "".join(scrubbed.values()).encode(errors="surrogateescape"), scrubbed != texts

    def _diff(self, names: Sequence[str]) -> bytes:
        chunks = (names[i : i + MAX_PATHS] for i in range(0, len(names), MAX_PATHS))
        literal = {**self.env, "GIT_LITERAL_PATHSPECS": "1"}
        return b"".join(_run("diff", "--cached", *PLAIN, "HEAD", "--", *chunk, **literal) for chunk in chunks)

    def _raw_diff(self, *argv: str) -> Iterable[tuple[str, str]]:
        """(Modes and kind of the change, name) for each file that differs."""
        fields = self.names("diff", "--raw", "--no-renames", "--relative", *argv)
        return zip(fields[::2], fields[1::2], strict=True)


@contextmanager
def _copy_of_index() -> Iterator[_Index]:
    """A copy of git's index in which no file is assumed to be unchanged."""
    paths = (_run("rev-parse", "--path-format=absolute", "--git-path", name) for name in ("index", "objects"))
    real, objects = (os.fsdecode(path.removesuffix(b"\n")) for path in paths)
    quoted = '"' + objects.replace("\\", "\\\\").replace('"', '\\"') + '"'
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            copy, folder = Path(temporary, "index"), Path(temporary, "objects")
            folder.mkdir()
            index = _Index(
                {"GIT_INDEX_FILE": f"{copy}", "GIT_OBJECT_DIRECTORY": f"{folder}", "GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted}
            )
            if Path(real).exists():
                shutil.copy2(real, copy)  # with its time, by which git knows which files to read again
            else:
                index.run("read-tree", "HEAD")
            _assume_nothing(index)
            yield index
    except OSError as error:
        raise GitError(f"a temporary index cannot be used: {error.strerror}") from None


def _assume_nothing(index: _Index) -> None:
    """Undo `git update-index --assume-unchanged`, and `--skip-worktree` of files that are there."""
    entries = [entry.partition(" ")[::2] for entry in index.names("ls-files", "-v")]
    assumed = [name for tag, name in entries if tag.islower()]
    skipped = [name for tag, name in entries if tag.upper() == "S" and os.path.lexists(ROOT / name)]
    for flag, names in (("--no-assume-unchanged", assumed), ("--no-skip-worktree", skipped)):
        if names:
            index.run("update-index", flag, "-z", "--stdin", stdin="\0".join(names))


def _is_code(name: str) -> bool:
    return name in CODE or name.startswith(tuple(f"{folder}/" for folder in CODE))


def _size(names: Iterable[str]) -> int:
    """Bytes of these files together."""
    size = 0
    for name in names:
        with suppress(OSError):  # it was deleted
            size += (ROOT / name).lstat().st_size
    return size


def _run(*argv: str, stdin: str = "", **env: str) -> bytes:
    """git's output. Raises GitError unless it succeeds within TIMEOUT. A hook's GIT_ variables do not say where it works."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key.startswith(INHERITED)}
    fixed = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    command = ["git", *(part for setting in SETTINGS for part in ("-c", setting)), *argv]
    try:
        stdout, stderr, code = _communicate(command, {**inherited, **fixed, **env}, os.fsencode(stdin))
    except subprocess.TimeoutExpired:
        raise GitError(f"git {argv[0]} took longer than {TIMEOUT:.0f} s") from None
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror}") from None
    lines = stderr.decode(errors="replace").splitlines()
    unread = [line for line in lines if "could not open directory" in line]  # for which git exits with 0
    if code or unread:
        reasons = unread or [line for line in lines if line.startswith(("fatal: ", "error: "))] or lines or ["no message"]
        raise GitError(f"git {argv[0]} ended with: {reasons[0]}")
    return stdout


def _communicate(command: list[str], env: dict[str, str], stdin: bytes) -> tuple[bytes, bytes, int]:
    """A command's stdout, stderr and exit code. If it takes too long, it is killed with all that it started."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        try:
            stdout, stderr = process.communicate(stdin, TIMEOUT)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return stdout, stderr, process.returncode
