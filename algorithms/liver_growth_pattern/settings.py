"""What can be told of the network; it needs no torch, unlike what is made from it (``network.py``)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class NetworkSettings(BaseModel):
    """Of the encoder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: tuple[int, int, int] = Field((16, 24, 32), description="of the three layers")
    dropout: float = Field(0.3, ge=0, lt=1, description="of the features of a metastasis")
