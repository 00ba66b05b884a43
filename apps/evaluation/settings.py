"""What an evaluation measures."""

from dataclasses import dataclass
from typing import Literal

from disentangle.errors import UserError, check_seed


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        scores: any of: standard (mig dci frechet regression reconstruction), codes, pictures, full (all); of codes mig
            dci mig-sup jemmig dcimig sap modularity explicitness irs infomec beta-vae factor-vae; of pictures frechet
            kernel precision-recall path-length variation activeness; of what reads the codes, which belongs to codes,
            regression (an encoder that was trained for a generator) and reconstruction.
        train_samples: codes from which MIG is counted and DCI's predictors learn.
        test_samples: other codes, on which DCI's predictors are tested.
        samples: pictures on each side of the Fréchet distance, at most half of the data set, by default 2000; or test
            pictures of a classifier, by default all.
        dci_learner: DCI's predictor. gbt is the published one, and takes minutes to hours; fast comes near it in
            seconds.
        features: network that compares pictures. inception with either resize makes a FID of the distance, and needs
            its published weights.
        distance: how pictures are compared along paths in the latent space; an LPIPS needs its published weights.
        paths: such paths.
        pairs: of pictures that differ in one latent, for the variation predictability.
        seed: of everything that is drawn at random.
        device: where the networks run: auto takes an accelerator where there is one.
        checkpoint: the step of the checkpoint to score; by default the newest.
    """

    scores: tuple[str, ...] = ("standard",)
    train_samples: int = 10_000
    test_samples: int = 5_000
    samples: int | None = None
    dci_learner: Literal["fast", "gbt", "random_forest"] = "fast"
    features: Literal["efficientnet-lite0", "inception-legacy", "inception-clean"] = "efficientnet-lite0"
    distance: Literal["efficientnet-lite0", "lpips-alex", "lpips-vgg", "lpips-squeeze"] = "efficientnet-lite0"
    paths: int = 2_000
    pairs: int = 2_000
    seed: int = 0
    device: Literal["auto", "cpu"] = "auto"
    checkpoint: int | None = None

    def check(self) -> None:
        """Raise :class:`UserError` where a number makes no sense."""
        check_seed(self.seed)
        if not self.scores:
            raise UserError("--scores needs a name: --help lists them")
        for name, least in (("train_samples", 20), ("test_samples", 1), ("samples", 2), ("paths", 4), ("pairs", 20)):
            if getattr(self, name) is not None and getattr(self, name) < least:
                option = name.replace("_", "-")
                raise UserError(f"--{option} must be at least {least}, got {getattr(self, name)}")
