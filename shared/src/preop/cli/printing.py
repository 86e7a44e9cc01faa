"""What the commands print of figures and programs."""

from __future__ import annotations

from rich.table import Table

from preop.study import Figure, ValidationFigures


def validation_table(validation: ValidationFigures) -> Table:
    """Make the table of a training: every model, then every baseline alone, with its AUC; the protocol says of which interval."""
    columns = ("model", "patients", "with outcome", "AUC [interval]")
    table = Table(*columns, title="Validation inside the training cohort", caption=validation.protocol)
    for baseline in (False, True):
        for name, figures in validation.models.items():
            if figures.baseline is baseline:
                row = (f"{name} alone" if baseline else name, str(figures.patients), str(figures.events))
                table.add_row(*row, interval(figures.auc))
        table.add_section()
    return table


def interval(figure: Figure | None) -> str:
    """Write an AUC with its interval, as far as they are determined."""
    if figure is None or figure.value is None:
        return "not determined"
    if figure.lower is None or figure.upper is None:
        return f"{figure.value:.2f}"
    # The interval may be a symmetric one and reach beyond what an AUC can be.
    return f"{figure.value:.2f} [{max(figure.lower, 0):.2f}, {min(figure.upper, 1):.2f}]"


def shown(value: object) -> str:
    """Write an output or a reference."""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def memory(megabytes: float | None) -> str:
    """Write what a run took."""
    return "unknown" if megabytes is None else f"{megabytes:.0f} MB"
