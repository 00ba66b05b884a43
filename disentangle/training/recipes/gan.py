"""GANs."""

from dataclasses import replace

from disentangle.training.architectures import EigenGANConfig, VanillaGANConfig
from disentangle.training.objectives import GANLoss
from disentangle.training.optimizers import AdamConfig
from disentangle.training.recipe import DataConfig, Recipe
from disentangle.treatments import TreatmentConfig

# EigenGAN as He, Kan, Shan 2021 describe it, with the settings of Song, Sebe, Wang 2022: the orthogonal loss on the
# bases is its own.
EIGENGAN = Recipe(
    data=DataConfig("folder", size=128, channels=3, flip=True),
    # R1 is added to the loss of its step; in Song's program it has a step of Adam to itself, every 16 steps.
    loss=GANLoss(adversarial="eigengan-hinge"),
    treatment=TreatmentConfig(("ol",)),
)

# The vanilla GAN with the networks of Wei et al. 2021 (OroJaR), trained as in Song, Sebe, Wang 2022: cross-entropy, in
# place of which OroJaR's own program has the Wasserstein loss (--loss.adversarial wasserstein), and a gradient penalty
# whose 10 is 20 here (see GANLoss). OroJaR's program runs for 1,200 epochs, some 6.9 million steps on dSprites.
VANILLA = Recipe(
    data=DataConfig("dsprites", size=64),
    model=VanillaGANConfig(latent_size=6),
    loss=GANLoss(adversarial="non-saturating", r1_weight=0.0, gp_weight=20.0, augment=0.0, penalty_layers=4),
    optimizer=AdamConfig(learning_rate=2e-4, betas=(0.5, 0.999), decay=0.5),
    treatment=TreatmentConfig(()),
    steps=300_000,
    batch_size=128,
    ema_pictures=0,
    log_every=500,
    sample_every=5_000,
    checkpoint_every=5_000,
)
VANILLA_128 = replace(
    VANILLA,
    loss=replace(VANILLA.loss, penalty_layers=5),  # type: ignore[arg-type]
    data=DataConfig("anime-face", size=128, channels=3, flip=True),
    model=VanillaGANConfig(latent_size=30),
    treatment=TreatmentConfig(("nog",)),
)

# The small GANs: the relativistic loss, which does not collapse; sprites, since 3-D scenes take them longer (after
# 2,000 steps these had hardly come nearer to the data than after 100).
SMALL_GAN = Recipe(
    data=DataConfig("sprites", size=32, pictures=50_000),
    loss=GANLoss(adversarial="relativistic", r1_weight=0.5, r2_weight=0.5, r1_every=1, augment=0.0),
    optimizer=AdamConfig(learning_rate=1e-3, decay=0.5),
    batch_size=32,
    ema_pictures=5_000,
    sample_every=500,
    checkpoint_every=500,
)

RECIPES: dict[str, Recipe] = {
    "sprites-eigengan": replace(
        SMALL_GAN,
        summary="EigenGAN, orthogonal loss and nearest orthogonal gradient; 2-D shapes",
        model=EigenGANConfig(rank=4, noise=64, base_channels=8, max_channels=32),
        treatment=TreatmentConfig(("ol", "nog")),
        steps=3_000,
    ),
    "sprites-vanilla-gan": replace(
        SMALL_GAN,
        summary="vanilla GAN, nearest orthogonal gradient; 2-D shapes",
        model=VanillaGANConfig(latent_size=10, base_channels=16, max_channels=64),
        treatment=TreatmentConfig(("nog",)),
        steps=6_000,
    ),
    "sprites-eigengan-nog": Recipe(
        summary="EigenGAN, nearest orthogonal gradient; 2-D shapes",
        data=DataConfig("sprites", size=64),
        treatment=TreatmentConfig(("nog",)),
        steps=50_000,
    ),
    "fashion-eigengan-nog": Recipe(
        summary="EigenGAN, nearest orthogonal gradient; Fashion-MNIST",
        data=DataConfig("fashion-mnist", size=32),
        model=EigenGANConfig(rank=6, noise=64, base_channels=16, max_channels=64),
        loss=GANLoss(augment=0.0),
        optimizer=AdamConfig(learning_rate=2e-4),
        treatment=TreatmentConfig(("nog",)),
        steps=10_000,
        batch_size=32,
    ),
    "anime-eigengan": replace(
        EIGENGAN,
        summary="EigenGAN, published settings, 128×128, orthogonal loss",
        data=replace(EIGENGAN.data, name="anime-face"),
    ),
    "ffhq-eigengan": replace(
        EIGENGAN,
        summary="EigenGAN, published settings, 256×256, orthogonal loss",
        data=replace(EIGENGAN.data, name="ffhq", size=256),
    ),
    "dsprites-vanilla-gan": replace(VANILLA, summary="vanilla GAN, 64×64, 6 latents"),
    "dsprites-vanilla-gan-hessian": replace(
        VANILLA,
        summary="vanilla GAN, Hessian penalty of OroJaR's comparison",
        loss=replace(VANILLA.loss, penalty="hessian"),  # type: ignore[arg-type]
    ),
    "dsprites-vanilla-gan-orojar": replace(
        VANILLA,
        summary="vanilla GAN, OroJaR of the published weight",
        loss=replace(VANILLA.loss, penalty="orojar"),  # type: ignore[arg-type]
    ),
    "dsprites-vanilla-gan-vp": replace(
        VANILLA,
        summary="vanilla GAN, VP loss by cross-entropy, with a larger recogniser",
        loss=replace(VANILLA.loss, penalty="vp"),  # type: ignore[arg-type]
    ),
    "dsprites-vanilla-gan-nog": replace(
        VANILLA,
        summary="vanilla GAN, nearest orthogonal gradient on its first layer",
        treatment=TreatmentConfig(("nog",)),
    ),
    "anime-vanilla-gan-nog": replace(
        VANILLA_128, summary="vanilla GAN, nearest orthogonal gradient, 128×128, 30 latents"
    ),
    "church-vanilla-gan-nog": replace(
        VANILLA_128,
        summary="vanilla GAN, nearest orthogonal gradient, 128×128, 30 latents",
        data=replace(VANILLA_128.data, name="lsun-church"),
    ),
}
