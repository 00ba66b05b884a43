"""GANs."""

from disentangle.training.architectures import EigenGANConfig
from disentangle.training.objectives import GANLoss
from disentangle.training.optimizers import AdamConfig
from disentangle.training.recipe import DataConfig, Recipe
from disentangle.treatments import TreatmentConfig

RECIPES: dict[str, Recipe] = {
    "sprites-eigengan-nog": Recipe(
        summary="EigenGAN, nearest orthogonal gradient; 2-D shapes",
        data=DataConfig("sprites", size=64),
        treatment=TreatmentConfig(("nog",)),
        steps=50_000,
    ),
    "fashion-eigengan-nog": Recipe(
        summary="EigenGAN, nearest orthogonal gradient; Fashion-MNIST, a CPU in under an hour",
        data=DataConfig("fashion-mnist", size=32),
        model=EigenGANConfig(rank=6, noise=64, base_channels=16, max_channels=64),
        loss=GANLoss(augment=0.0),
        optimizer=AdamConfig(learning_rate=2e-4),
        treatment=TreatmentConfig(("nog",)),
        steps=10_000,
        batch_size=32,
    ),
    "anime-eigengan": Recipe(
        summary="EigenGAN, published settings, 128×128 (AnimeFace: --data.root FOLDER), orthogonal loss",
        data=DataConfig("folder", size=128, channels=3, flip=True),
        loss=GANLoss(adversarial="eigengan-hinge"),
        treatment=TreatmentConfig(("ol",)),
    ),
    "ffhq-eigengan": Recipe(
        summary="EigenGAN, published settings, 256×256 (FFHQ: --data.root FOLDER), orthogonal loss",
        data=DataConfig("folder", size=256, channels=3, flip=True),
        loss=GANLoss(adversarial="eigengan-hinge"),
        treatment=TreatmentConfig(("ol",)),
    ),
}
