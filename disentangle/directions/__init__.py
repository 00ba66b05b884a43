"""Directions in latent space: discover, keep, measure, compare, move along."""

from disentangle.directions.activeness import measure_activeness
from disentangle.directions.angles import principal_angles
from disentangle.directions.discover import discover, natural_method, option_names, spectral_gaps
from disentangle.directions.edits import combine, move, place
from disentangle.directions.file import Directions
from disentangle.directions.matching import Matches, match
from disentangle.directions.methods import METHODS
from disentangle.directions.stability import measure_seed_stability

__all__ = [
    "METHODS",
    "Directions",
    "Matches",
    "combine",
    "discover",
    "match",
    "measure_activeness",
    "measure_seed_stability",
    "move",
    "natural_method",
    "option_names",
    "place",
    "principal_angles",
    "spectral_gaps",
]
