"""Directions in latent space: discover, keep, measure, move along."""

from disentangle.directions.activeness import measure_activeness
from disentangle.directions.discover import METHODS, discover, natural_method, spectral_gaps
from disentangle.directions.edits import combine, move, place
from disentangle.directions.file import Directions

__all__ = [
    "METHODS",
    "Directions",
    "combine",
    "discover",
    "measure_activeness",
    "move",
    "natural_method",
    "place",
    "spectral_gaps",
]
