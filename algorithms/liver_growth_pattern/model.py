"""What the validation of this study's models holds beside what every study has."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Details(BaseModel):
    """Figures that only this study has."""

    model_config = ConfigDict(extra="allow", frozen=True)
