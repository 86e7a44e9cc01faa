"""The database of a review: SQLite in the folder of the cohort, or PostgreSQL by its address; brought up to date by alembic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from preop.errors import InvalidInputError, MissingToolError

MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_S = 30.0


def sqlite_address(file: Path) -> str:
    """Address of a SQLite database in a file."""
    return f"sqlite:///{file.absolute()}"


def open_database(address: str) -> Engine:
    """Connect to a database and bring its tables up to date.

    Parameters
    ----------
    address
        As SQLAlchemy writes it: ``sqlite:////folder/review.sqlite`` or ``postgresql+psycopg://user@host/name``.

    Raises
    ------
    InvalidInputError
        If the address is none, the database cannot be reached, or a later version of preop has written it.
    MissingToolError
        If the driver of the database is not installed.
    """
    shown = address.rpartition("@")[2]
    try:
        url = make_url(address)
        engine = create_engine(url, pool_size=20, max_overflow=20, pool_timeout=_BUSY_S)
    except (ArgumentError, NoSuchModuleError):
        raise InvalidInputError(
            f"{shown} is not the address of a database; expected one such as postgresql+psycopg://user@host/name."
        ) from None
    except ModuleNotFoundError as error:
        raise MissingToolError(
            f"The database {shown} needs the Python package {error.name}: pip install {error.name}."
        ) from None
    if url.get_backend_name() == "sqlite":
        _prepare_sqlite(engine)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            _refuse_later_versions(config, connection, shown)
            command.upgrade(config, "head")
            connection.commit()
    except (OperationalError, DatabaseError) as error:
        raise InvalidInputError(f"The database {shown} cannot be used: {_first_line(error)}.") from error
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """Give a session whose changes are all kept when the block ends well, or none of them."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        if engine.dialect.name == "sqlite":
            session.connection(execution_options={"preop_writes": True})
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Give a session that only looks."""
    with Session(engine, expire_on_commit=False) as session:
        yield session


def _prepare_sqlite(engine: Engine) -> None:
    """Let readers and one writer work at once (WAL), wait for each other, and lose nothing in a power cut."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below: the driver would begin them too late
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_S * 1000:.0f}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        # A transaction that begins by reading cannot wait for another writer later: SQLite would refuse it at once.
        writes = connection.get_execution_options().get("preop_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _refuse_later_versions(config: Config, connection: Any, shown: str) -> None:
    from alembic.runtime.migration import MigrationContext

    found = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    try:
        ScriptDirectory.from_config(config).get_revision(found or "head")
    except CommandError:
        raise InvalidInputError(
            f"The database {shown} was written by a later version of preop (its tables are {found}): install that version."
        ) from None


def _first_line(error: BaseException) -> str:
    return str(getattr(error, "orig", error)).strip().split("\n", maxsplit=1)[0].rstrip(".")
