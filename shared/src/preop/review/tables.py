"""The tables of a review: one row a patient, and rows that are only ever added for every decision, mask and reading."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import JSON, DateTime, Double, ForeignKey, String, Text, TypeDecorator, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

LONGEST_NAME = 200


class State(StrEnum):
    """What has been decided about the masks of a patient."""

    TO_DO = "to do"
    APPROVED = "approved"
    CORRECTED = "corrected"
    REJECTED = "rejected"
    DRAWN = "drawn"

    @property
    def is_usable(self) -> bool:
        """Whether a reviewer stands behind the masks."""
        return self in {State.APPROVED, State.CORRECTED, State.DRAWN}


class Phase(StrEnum):
    """Whether a reader had seen what the algorithm says."""

    BEFORE = "before"
    AFTER = "after"


class UtcTime(TypeDecorator[datetime]):
    """A time in UTC, in databases with and without time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002, PLR6301, RUF100
        """Store UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002, PLR6301, RUF100
        """Give a time that knows it is UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """Time of a change."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """Base of the tables."""


class PatientRow(Base):
    """A patient as the review stands.

    ``revision`` counts every change: who changes a patient names the revision that they saw, and a change that was made to
    another one is refused (optimistic locking).
    """

    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    state: Mapped[str] = mapped_column(String(20), default=State.TO_DO)
    revision: Mapped[int] = mapped_column(default=0)
    reviewer: Mapped[str] = mapped_column(String(LONGEST_NAME), default="")
    changed_at: Mapped[datetime | None] = mapped_column(UtcTime, default=None)
    note: Mapped[str] = mapped_column(Text, default="")


class DecisionRow(Base):
    """A decision about a patient; ``masks`` holds the number of each mask that it was about, 0 the original."""

    __tablename__ = "decisions"

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    revision: Mapped[int]
    at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    reviewer: Mapped[str] = mapped_column(String(LONGEST_NAME))
    before: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20))
    note: Mapped[str] = mapped_column(Text, default="")
    masks: Mapped[dict[str, int]] = mapped_column(JSON)


class MaskRow(Base):
    """A saved mask; ``number`` counts those of a patient's slug from 1, and ``file`` is its name beside the original."""

    __tablename__ = "masks"
    __table_args__ = (UniqueConstraint("patient_id", "slug", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    revision: Mapped[int]
    slug: Mapped[str] = mapped_column(String(LONGEST_NAME))
    number: Mapped[int]
    based_on: Mapped[int | None]
    at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    reviewer: Mapped[str] = mapped_column(String(LONGEST_NAME))
    origin: Mapped[str] = mapped_column(String(LONGEST_NAME))
    file: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    voxels: Mapped[int]


class ReadingRow(Base):
    """A reader's own answer, before or after seeing the algorithm's; each is given once."""

    __tablename__ = "readings"
    __table_args__ = (UniqueConstraint("patient_id", "reader", "phase"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    reader: Mapped[str] = mapped_column(String(LONGEST_NAME))
    phase: Mapped[str] = mapped_column(String(10))
    answer: Mapped[str] = mapped_column(String(LONGEST_NAME))
    likelihood: Mapped[float | None] = mapped_column(Double)
    note: Mapped[str] = mapped_column(Text, default="")
    algorithm_said: Mapped[str] = mapped_column(Text, default="")
