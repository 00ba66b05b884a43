"""The scores of codes, by the names that ``--scores`` takes, and what each of their numbers means in a sentence.

A new score of codes is one entry of :data:`CODES`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from disentangle import metrics
from disentangle.apps.evaluation.pictures import PICTURES
from disentangle.apps.evaluation.score import (
    Floats,
    Integers,
    Labelled,
    Part,
    Score,
    counted,
    quiet,
    reference_results,
    scores_of,
)
from disentangle.errors import UserError, unknown_name
from disentangle.metrics import CodeScore
from disentangle.metrics.words import varies

if TYPE_CHECKING:  # the command imports this module's caller
    from disentangle.apps.evaluation.settings import Settings

Compute = Callable[[Labelled, "Settings"], CodeScore]


@dataclass(frozen=True)
class CodeMeasure:
    """A score of codes.

    Attributes:
        compute: its result for labelled codes.
        parts: attribute of the result -> how the report shows it; the first carries what the result is made of.
        inputs: names of the settings that decide it besides the codes.
        things: what its samples are.
    """

    compute: Compute
    parts: Mapping[str, Part]
    inputs: tuple[str, ...] = ()
    things: str = "codes"

    @property
    def title(self) -> str:
        """What all of it is called: a word that its numbers share, or the one number."""
        names = [part.name for part in self.parts.values()]
        return names[0] if len(names) == 1 else names[0].split()[0]

    def scores(self, labelled: Labelled, settings: "Settings") -> list[Score]:
        """The numbers, with intervals and reference points."""
        # Where a predictor takes minutes, one rotation has to do.
        rotations = 1 if "dci_learner" in self.inputs and settings.dci_learner == "gbt" else 3
        with quiet():
            result = self.compute(labelled, settings)
            about = {"samples": list(result.samples), "learner": result.learner, "seed": settings.seed}
            scores = scores_of(
                result,
                self.parts,
                points=reference_results(result, settings.seed, rotations),
                samples=counted(result.samples, self.things),
                settings=about | {"rotations": rotations},
                factors=labelled.names,
            )
        notes = tuple(notes_on(labelled))
        return [replace(scores[0], notes=scores[0].notes + notes), *scores[1:]]


def notes_on(labelled: Labelled) -> list[str]:
    """What a reader of any score must know of the factors."""
    _, factors = labelled.to_learn
    if varies(factors).sum() == 1:
        return [
            "With a single factor a code cannot be about another: DCI's disentanglement, both modularities and the "
            "β-VAE and FactorVAE scores are 1 whatever the codes, and say nothing here."
        ]
    return []


FEW_VALUES = 32
"""Codes of no more values each, such as QLAE's and Tripod's, are discrete, for which InfoMEC has its own definition."""


def infomec(codes: Floats, factors: Integers) -> CodeScore:
    """InfoMEC of codes as they are: discrete ones are counted, others are estimated from nearest neighbours."""
    discrete = all(len(np.unique(code)) <= FEW_VALUES for code in codes.T)
    result = metrics.infomec(codes, factors, discrete=discrete)
    # Of discrete codes the rotated ones and noise are not discrete: each is to be seen as what it is.
    return replace(result, source=replace(result.source, metric=infomec)) if result.source is not None else result


CODES: dict[str, CodeMeasure] = {
    "mig": CodeMeasure(
        lambda labelled, _: metrics.mig(*labelled.to_learn),
        {
            "score": Part(
                "MIG",
                "How much more the best code knows about a factor than the second best: 1 if each factor has a code of "
                "its own, 0 if what is known is shared out evenly.",
            )
        },
    ),
    "dci": CodeMeasure(
        lambda labelled, settings: metrics.dci(*labelled.split, learner=settings.dci_learner, seed=settings.seed),
        {
            "disentanglement": Part(
                "DCI disentanglement",
                "Whether a code is about one factor only: 1 if so, 0 if each code matters to all factors alike.",
            ),
            "completeness": Part(
                "DCI completeness",
                "Whether one code is enough for a factor: 1 if so, 0 if a factor is spread over all codes alike.",
            ),
            "informativeness": Part(
                "DCI informativeness",
                "How often the codes together give a factor away: the accuracy of the predictors, averaged over "
                "factors, on pictures that they have not seen.",
            ),
        },
        inputs=("dci_learner",),
    ),
    "mig-sup": CodeMeasure(
        lambda labelled, _: metrics.mig_sup(*labelled.to_learn),
        {
            "score": Part(
                "MIG-sup",
                "How much more a code knows about its best factor than about the second best: MIG seen from the codes, "
                "which a code of two factors lowers and a factor of two codes does not.",
            )
        },
    ),
    "jemmig": CodeMeasure(
        lambda labelled, _: metrics.jemmig(*labelled.to_learn),
        {
            "score": Part(
                "JEMMIG",
                "MIG that also counts what else the best code knows: 1 if each factor has a code of its own that knows "
                "nothing besides.",
            )
        },
    ),
    "dcimig": CodeMeasure(
        lambda labelled, _: metrics.dcimig(*labelled.to_learn),
        {
            "score": Part(
                "DCIMIG",
                "How much the codes that know one factor best know of it, less what they know of others, as a share of "
                "all there is to know.",
            )
        },
    ),
    "sap": CodeMeasure(
        lambda labelled, _: metrics.sap(*labelled.split),
        {
            "score": Part(
                "SAP",
                "How much better a threshold on the best code predicts a factor than one on the second best: even "
                "perfect codes stay far below 1.",
            )
        },
    ),
    "modularity": CodeMeasure(
        lambda labelled, _: metrics.modularity(*labelled.to_learn),
        {
            "score": Part(
                "Modularity",
                "Whether a code knows about one factor only. Codes that know nothing count as 0, as published, so that "
                "rotated codes and noise can stand above perfect ones beside unused codes.",
            )
        },
    ),
    "explicitness": CodeMeasure(
        lambda labelled, _: metrics.explicitness(*labelled.split),
        {
            "score": Part(
                "Explicitness",
                "How well a linear classifier tells a factor's values apart by the codes: the area under its ROC "
                "curve, 1 at best and 0.5 by guessing.",
            )
        },
    ),
    "irs": CodeMeasure(
        lambda labelled, _: metrics.irs(*labelled.to_learn),
        {
            "score": Part(
                "IRS",
                "How little a code moves, at worst, when factors other than its own change: 1 if not at all.",
            )
        },
    ),
    "infomec": CodeMeasure(
        lambda labelled, _: infomec(*labelled.to_learn),
        {
            "modularity": Part(
                "InfoMEC modularity",
                "Whether a code has information about one factor only; a share of the little that noise seems to have "
                "is far above 0, too: see beside it.",
            ),
            "compactness": Part(
                "InfoMEC compactness",
                "Whether a factor's information is in one code only; a share of the little that noise seems to have is "
                "far above 0, too, the more so the fewer the codes: see beside it.",
            ),
            "explicitness": Part(
                "InfoMEC explicitness",
                "How much of the factors' information a linear classifier gets out of the codes, as a share of all.",
                range=(-math.inf, 1.0),
            ),
        },
    ),
    "beta-vae": CodeMeasure(
        lambda labelled, settings: metrics.beta_vae_score(metrics.Rows(*labelled.to_learn), seed=settings.seed),
        {
            "score": Part(
                "β-VAE score",
                "How often one tells from the differences of codes which factor a number of pairs of pictures share.",
            )
        },
        things="groups of pairs",
    ),
    "factor-vae": CodeMeasure(
        lambda labelled, settings: metrics.factor_vae_score(metrics.Rows(*labelled.to_learn), seed=settings.seed),
        {
            "score": Part(
                "FactorVAE score",
                "How often the code that varies least among pictures that share a factor tells which factor that is; "
                "full rotations can score high.",
            )
        },
        things="groups",
    ),
}
"""Name -> score."""

ERRORS = ("regression", "reconstruction")
"""What an encoder gets wrong: how far one that was trained for a generator can be trusted, and what is lost on the way
through the codes. They cost next to nothing."""

STANDARD = ("mig", "dci", "frechet", *ERRORS)
"""What is scored if nothing else is asked for."""


ALIASES = {
    "disentanglement": "dci",
    "completeness": "dci",
    "informativeness": "dci",
    "infom": "infomec",
    "infoc": "infomec",
    "infoe": "infomec",
    "betavae": "beta-vae",
    "z-diff": "beta-vae",
    "factorvae": "factor-vae",
    "z-min-var": "factor-vae",
    "fid": "frechet",
    "fd": "frechet",
    "kid": "kernel",
    "mmd": "kernel",
    "prdc": "precision-recall",
    "precision": "precision-recall",
    "recall": "precision-recall",
    "density": "precision-recall",
    "coverage": "precision-recall",
    "ppl": "path-length",
    "perceptual-path-length": "path-length",
    "vp": "variation",
    "variation-predictability": "variation",
    "mse": "reconstruction",
    "psnr": "reconstruction",
    "all": "full",
    "default": "standard",
}
"""What users call scores elsewhere -> the name here."""


def select(wanted: Sequence[str]) -> frozenset[str]:
    """The names of scores that ``--scores`` asks for; ``standard`` and ``full`` stand for several.

    Raises:
        UserError: for a name that is none.
    """
    known = [*CODES, *PICTURES, *ERRORS]
    suites = {"standard": STANDARD, "full": tuple(known), "codes": (*CODES, *ERRORS), "pictures": tuple(PICTURES)}
    for name in wanted:
        if name.lower() == "udr":
            raise UserError("udr is of several runs: --siblings RUN … names those that differ in their seed alone")
        if name not in known and name not in suites:
            raise unknown_name("score", name, [*suites, *known], ALIASES)
    return frozenset(score for name in wanted for score in suites.get(name, (name,)))
