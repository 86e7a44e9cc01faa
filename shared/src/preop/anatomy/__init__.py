"""From labelled organs to landmarks, and from landmarks to the lymph node stations of the chest."""

from preop.anatomy.given_structures import PlausibleRange, not_plausible
from preop.anatomy.landmarks import Hilum, Landmarks, Profile, find_landmarks
from preop.anatomy.measures import StationMeasures, measure_stations
from preop.anatomy.midline import midline_mm
from preop.anatomy.nodes import NodeStations, stations_of_node, stations_of_points
from preop.anatomy.organs import TOTAL_CLASSES, Organs, Thorax, in_patient_axes
from preop.anatomy.stations import STATIONS, StationMap, map_stations

__all__ = [
    "STATIONS",
    "TOTAL_CLASSES",
    "Hilum",
    "Landmarks",
    "NodeStations",
    "Organs",
    "PlausibleRange",
    "Profile",
    "StationMap",
    "StationMeasures",
    "Thorax",
    "find_landmarks",
    "in_patient_axes",
    "map_stations",
    "measure_stations",
    "midline_mm",
    "not_plausible",
    "stations_of_node",
    "stations_of_points",
]
