"""Where runs are logged: the tracking URI, the file behind it, the lock on it."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.tracking import Tracking
from pipeline.errors import StoreError
from pipeline.files import ROOT, digest

if TYPE_CHECKING:
    from filelock import FileLock

SQLITE = "sqlite:///"
SPECIAL_IN_URIS = set("?#%")


def project_root() -> Path:
    """The repository that runs are logged in: the real one, also from DVC's throw-away copies."""
    return Path(os.environ.get("DVC_ROOT", ROOT))


def experiment_in_copy() -> str:
    """The name of the DVC experiment that runs in this copy of the repository; empty in the repository itself."""
    return "" if project_root().samefile(ROOT) else os.environ.get("DVC_EXP_NAME", "")


def absolute_uri(uri: str) -> str:
    """A tracking URI with a relative SQLite path taken from `project_root`."""
    return sqlite_uri(project_root() / uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else uri


def sqlite_uri(database: Path) -> str:
    """The URI of an SQLite file; `database_of` is its inverse. A path with a character that is special in URIs is reached
    through a link, since SQLAlchemy takes such a path for another and MLflow makes a folder of the quoted one."""
    if not SPECIAL_IN_URIS & set(str(database)):
        return f"{SQLITE}{database}"
    link = private_folder() / f"{digest(os.fsencode(database))[:16]}.db"
    with suppress(FileExistsError):
        link.symlink_to(database)
    return f"{SQLITE}{link}"


def database_of(uri: str) -> Path | None:
    """An SQLite store's file; None of a server."""
    if not uri.startswith(SQLITE):
        return None
    path = Path(uri.removeprefix(SQLITE))
    return path.readlink() if path.parent == private_folder() else path


def store_lock(uri: str) -> "FileLock":
    """One at a time with a store: among all processes that can lock its file or, with a server, among this user's here."""
    from filelock import FileLock  # its import is a tenth of a stage's

    database = database_of(uri)
    return FileLock(database.parent / ".lock" if database else private_folder() / f"{digest(uri.encode())[:16]}.lock")


def check_writable(tracking: Tracking) -> None:
    """Raise StoreError unless an SQLite store can be made or written to; a server is not asked."""
    database = tracking.uri and database_of(absolute_uri(tracking.uri))
    if not database:
        return
    try:
        if not database.parent.is_dir():
            database.parent.mkdir(parents=True)
            (database.parent / ".gitignore").write_text("*\n!.gitignore\n", encoding="utf-8")  # as git has it of mlruns/
        with tempfile.TemporaryFile(dir=database.parent):  # SQLite writes its journal there
            pass
        for path in (database.parent / ".lock", database):
            if path.exists():
                with path.open("r+b"):
                    pass
    except OSError as error:
        raise StoreError(f"tracking.uri must be writable; {database} is not: {error.strerror}") from None


def private_folder() -> Path:
    """Where locks lie: a folder that no other user can enter."""
    temporary = Path(os.environ.get("TMPDIR", ""))
    is_usable = temporary.is_absolute() and temporary.is_dir() and not SPECIAL_IN_URIS & set(str(temporary))
    folder = (temporary if is_usable else Path("/tmp")) / f"pipeline-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise StoreError(f"{folder} must belong to this user; it does not")
    return folder
