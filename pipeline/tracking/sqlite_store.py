"""A tracking store of MLflow: an SQLite file is made, found damaged, or moved to another folder."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from traceback import walk_tb

from pipeline.errors import StoreError
from pipeline.tracking.store import database_of, sqlite_uri

# Where MLflow keeps absolute locations of artifacts.
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)

PACKAGES = ("mlflow", "sqlalchemy", "sqlite3", "alembic")  # that read a tracking store
MAKING = ".making-"  # begins the name of the folder in which a database is made


def make(database: Path) -> None:
    """Make the store's database where there is none: beside its place, and moved in when it is complete, since one whose
    migrations are cut short is unusable. Only for a process that holds the `store_lock`."""
    if database.exists() and database.stat().st_size:
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for left in database.parent.glob(f"{MAKING}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=MAKING, dir=database.parent, ignore_cleanup_errors=True) as folder:
        made = Path(folder, database.name)
        SqlAlchemyStore(sqlite_uri(made), artifacts(database).as_uri())
        made.replace(database)


def artifacts(database: Path) -> Path:
    """The folder beside an SQLite store in which its runs' artifacts lie."""
    return database.parent / "artifacts"


def damage_of(database: Path | None) -> str:
    """What SQLite finds wrong with its file; nothing of a server."""
    if database is None:
        return ""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except (sqlite3.Error, UnicodeDecodeError) as error:
        found = str(error)
    return "" if found == "ok" else " ".join(found.split())


def count_runs(database: Path, experiment: str) -> int:
    """How many runs the experiment of this id has that are not deleted."""
    query = "SELECT count(*) FROM runs WHERE experiment_id = ? AND lifecycle_stage = 'active'"
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return int(connection.execute(query, (int(experiment),)).fetchone()[0])


def is_of_store(error: Exception) -> bool:
    """Whether an error was raised while a tracking store was read: a damaged one raises more than the packages' own errors."""
    modules = [type(error).__module__, *(frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))]
    return any(module.partition(".")[0] in PACKAGES for module in modules)


def relocate(uri: str) -> None:
    """If the store was moved or copied with its folder, let its locations follow. Raises StoreError if it is damaged."""
    database = database_of(uri)
    if database is None or not database.exists():
        return
    here = artifacts(database).as_uri()
    try:
        with closing(sqlite3.connect(database, timeout=60)) as store, store:
            for old in _old_folders(store, here, f"/{database.parent.name}/artifacts"):
                for table, column in LOCATIONS:
                    update = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"
                    store.execute(update, (here, len(old) + 1, len(old) + 1, f"{old}/"))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise StoreError(f"tracking.uri must be an undamaged SQLite database; {database}: {error}") from None


def _old_folders(store: sqlite3.Connection, here: str, ours: str) -> set[str]:
    """The folders of artifacts, named as `connect` names them, that experiments lie in and that are not `here`."""
    if not store.execute("SELECT 1 FROM sqlite_master WHERE name = 'logged_models'").fetchone():
        return set()  # not migrated yet
    locations = store.execute("SELECT artifact_location FROM experiments WHERE artifact_location IS NOT NULL")
    folders = {location.rpartition("/")[0] for (location,) in locations}
    return {folder for folder in folders if folder.startswith("file://") and folder.endswith(ours) and folder != here}
