"""Lymph node stations of the chest, by number and side.

Source: Rusch et al., The IASLC Lung Cancer Staging Project: a proposal for a new international lymph node map,
J Thorac Oncol 2009;4:568-77, table 2.
"""

from __future__ import annotations

import re
from enum import Enum, StrEnum

from preop.errors import InvalidInputError


class Side(StrEnum):
    """Side of the patient, of a station or of a primary tumour."""

    RIGHT = "right"
    LEFT = "left"
    MIDLINE = "midline"

    @property
    def other(self) -> Side:
        """The opposite side; the midline has none but itself."""
        return {Side.RIGHT: Side.LEFT, Side.LEFT: Side.RIGHT}.get(self, Side.MIDLINE)

    @classmethod
    def parse(cls, text: str) -> Side:
        """Read "right", "left" or "midline", in any case, or their first letter.

        Raises
        ------
        InvalidInputError
            If it is none of them.
        """
        for side in cls:
            if text.strip().lower() in (side.value, side.value[0]):
                return side
        raise InvalidInputError(f"The side is '{text}'; expected right, left or midline.")


class Station(Enum):
    """A station of the IASLC map, in the map's order.

    Stations 3a and 3p are one station each on the map; their side is kept where it is known ("3aR"), because a
    contralateral one is N3. Stations 5 and 6 lie on the left, and 7 has no side.
    """

    LOW_CERVICAL_R = "1R"
    LOW_CERVICAL_L = "1L"
    UPPER_PARATRACHEAL_R = "2R"
    UPPER_PARATRACHEAL_L = "2L"
    PREVASCULAR = "3a"
    PREVASCULAR_R = "3aR"
    PREVASCULAR_L = "3aL"
    RETROTRACHEAL = "3p"
    RETROTRACHEAL_R = "3pR"
    RETROTRACHEAL_L = "3pL"
    LOWER_PARATRACHEAL_R = "4R"
    LOWER_PARATRACHEAL_L = "4L"
    SUBAORTIC = "5"
    PARA_AORTIC = "6"
    SUBCARINAL = "7"
    PARAESOPHAGEAL_R = "8R"
    PARAESOPHAGEAL_L = "8L"
    PULMONARY_LIGAMENT_R = "9R"
    PULMONARY_LIGAMENT_L = "9L"
    HILAR_R = "10R"
    HILAR_L = "10L"
    INTERLOBAR_R = "11R"
    INTERLOBAR_L = "11L"
    LOBAR_R = "12R"
    LOBAR_L = "12L"
    SEGMENTAL_R = "13R"
    SEGMENTAL_L = "13L"
    SUBSEGMENTAL_R = "14R"
    SUBSEGMENTAL_L = "14L"

    def __str__(self) -> str:
        return self.value

    @property
    def number(self) -> int:
        """Number on the map, 1 to 14."""
        return int("".join(character for character in self.value if character.isdigit()))

    @property
    def side(self) -> Side:
        """Side of the station; the midline for 7, and for 3a and 3p where no side is given."""
        if self in (Station.SUBAORTIC, Station.PARA_AORTIC):
            return Side.LEFT
        return {"R": Side.RIGHT, "L": Side.LEFT}.get(self.value[-1], Side.MIDLINE)

    @property
    def on_map(self) -> str:
        """Name by which stations are counted: 3aR and 3aL are one station of the map, 4R and 4L are two."""
        return self.value[:2] if self.number == 3 else self.value

    @classmethod
    def parse(cls, text: str) -> Station:
        """Read a station as reports write it: "4R", "4 r", "R4", "#7", "station 10L", "11Ri", "3A".

        Raises
        ------
        InvalidInputError
            If there is no such station, or its side is missing.
        """
        name = re.sub(r"^(STATION|#|NO\.?)", "", re.sub(r"\s+", "", text).upper())
        name = re.sub(r"^([RL])(\d+)$", r"\2\1", name)
        name = re.sub(r"^11R[SI]$|^11[SI]R?$", "11R", name)
        known = {station.value.upper(): station for station in cls} | {"5L": cls.SUBAORTIC, "6L": cls.PARA_AORTIC}
        if name in known:
            return known[name]
        if f"{name}R" in known:
            raise InvalidInputError(f"Station '{text}' has no side; expected {name}R or {name}L.")
        raise InvalidInputError(f"There is no lymph node station '{text}'; expected one of {', '.join(map(str, cls))}.")
