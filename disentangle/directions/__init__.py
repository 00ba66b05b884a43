"""Directions in latent space: discover, keep, measure, compare, move along."""

from disentangle.directions.activeness import measure_activeness
from disentangle.directions.angles import principal_angles
from disentangle.directions.discover import discover, natural_method, option_names, spectral_gaps
from disentangle.directions.edits import combine, move, place
from disentangle.directions.effects import Reader, largest_change, measure_effects
from disentangle.directions.inversion import Inversion, invert
from disentangle.directions.matching import Matches, match
from disentangle.directions.methods import METHODS, Progress
from disentangle.directions.record import Directions
from disentangle.directions.stability import measure_seed_stability
from disentangle.directions.step_sizes import measure_step_sizes

__all__ = [
    "METHODS",
    "Directions",
    "Inversion",
    "Matches",
    "Progress",
    "Reader",
    "combine",
    "discover",
    "invert",
    "largest_change",
    "match",
    "measure_activeness",
    "measure_effects",
    "measure_seed_stability",
    "measure_step_sizes",
    "move",
    "natural_method",
    "option_names",
    "place",
    "principal_angles",
    "spectral_gaps",
]
