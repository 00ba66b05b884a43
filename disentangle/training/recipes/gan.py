"""GANs."""

from dataclasses import replace

from disentangle.training.architectures import EigenGANConfig, VanillaGANConfig
from disentangle.training.objectives import GANLoss
from disentangle.training.optimizers import AdamConfig
from disentangle.training.recipe import DataConfig, Recipe
from disentangle.treatments import TreatmentConfig

# EigenGAN as He, Kan, Shan 2021 describe it, with the settings of Song, Sebe, Wang 2022: the orthogonal loss on the
# bases is its own; Song's scripts (run_animeface.sh, run_ffhq.sh) have the nearest orthogonal gradient instead.
EIGENGAN = Recipe(
    data=DataConfig("folder", size=128, channels=3, flip=True),
    # R1 is added to the loss of its step; in Song's program it has a step of Adam to itself, every 16 steps.
    loss=GANLoss(adversarial="eigengan-hinge"),
    treatment=TreatmentConfig(("ol",)),
)

# The vanilla GAN with the networks of Wei et al. 2021 (OroJaR), trained as in Song, Sebe, Wang 2022: cross-entropy, in
# place of which OroJaR's own program has the Wasserstein loss (--loss.adversarial wasserstein), and a gradient penalty
# whose 10 is 20 here (see GANLoss).
#
# Both programs are set to 1,200 epochs, over the second half of which the rate falls: 6.9 million steps on dSprites,
# 1.2 million on churches, 1.9 million on CelebA. Song's scripts hold lines to take up a training at epochs 6, 31 and
# 54; where it ended they do not tell. 300,000 steps is this project's number.
VANILLA_LOSS = GANLoss(adversarial="non-saturating", r1_weight=0.0, gp_weight=20.0, augment=0.0, penalty_layers=4)
VANILLA = Recipe(
    data=DataConfig("dsprites", size=64),
    model=VanillaGANConfig(latent_size=6),
    loss=VANILLA_LOSS,
    optimizer=AdamConfig(learning_rate=2e-4, betas=(0.5, 0.999), decay=0.5),
    treatment=TreatmentConfig(()),
    steps=300_000,
    batch_size=128,
    ema_pictures=0,
    log_every=500,
    sample_every=5_000,
    checkpoint_every=5_000,
)
# At 128×128 there are scripts for CelebA and LSUN churches (celeba_train_nog.sh, celeba_train_orojar.sh,
# lsun_train_nog.sh). No picture is mirrored; churches are squeezed to squares, and of faces the middle 170×170 pixels
# are shown (resized by a linear and a cubic filter there, by Lanczos's here). Published is a training on all 202,599
# faces: it is here, too, where the folder lacks the list of CelebA's parts, else on the 162,770 of the part for it.
VANILLA_LOSS_128 = replace(VANILLA_LOSS, penalty_layers=5)
VANILLA_128 = replace(
    VANILLA,
    loss=VANILLA_LOSS_128,
    data=DataConfig("celeba", size=128, channels=3, frame="wide"),
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
    "anime-eigengan-nog": replace(
        EIGENGAN,
        summary="EigenGAN, published settings, 128×128, nearest orthogonal gradient",
        data=replace(EIGENGAN.data, name="anime-face"),
        treatment=TreatmentConfig(("nog",)),
    ),
    "ffhq-eigengan-nog": replace(
        EIGENGAN,
        summary="EigenGAN, published settings, 256×256, nearest orthogonal gradient",
        data=replace(EIGENGAN.data, name="ffhq", size=256),
        treatment=TreatmentConfig(("nog",)),
    ),
    "dsprites-vanilla-gan": replace(VANILLA, summary="vanilla GAN, 64×64, 6 latents"),
    "dsprites-vanilla-gan-hessian": replace(
        VANILLA,
        summary="vanilla GAN, Hessian penalty of OroJaR's comparison",
        loss=replace(VANILLA_LOSS, penalty="hessian"),
    ),
    "dsprites-vanilla-gan-orojar": replace(
        VANILLA,
        summary="vanilla GAN, OroJaR of the published weight",
        loss=replace(VANILLA_LOSS, penalty="orojar"),
    ),
    "dsprites-vanilla-gan-vp": replace(
        VANILLA,
        summary="vanilla GAN, VP loss of OroJaR's comparison",
        loss=replace(VANILLA_LOSS, penalty="vp", recogniser_loss="binary", recogniser_channels=4, recogniser_hidden=16),
    ),
    "dsprites-vanilla-gan-nog": replace(
        VANILLA,
        summary="vanilla GAN, nearest orthogonal gradient on its first layer",
        treatment=TreatmentConfig(("nog",)),
    ),
    "celeba-vanilla-gan-nog": replace(
        VANILLA_128, summary="vanilla GAN, nearest orthogonal gradient, 128×128, 30 latents"
    ),
    "celeba-vanilla-gan-orojar": replace(
        VANILLA_128,
        summary="vanilla GAN, OroJaR of the published weight, 128×128, 30 latents",
        loss=replace(VANILLA_LOSS_128, penalty="orojar", penalty_weight=1e-6),
        treatment=TreatmentConfig(()),
    ),
    "church-vanilla-gan-nog": replace(
        VANILLA_128,
        summary="vanilla GAN, nearest orthogonal gradient, 128×128, 30 latents",
        data=replace(VANILLA_128.data, name="lsun-church", frame="whole"),
    ),
    # Of this set no published script was found: the settings are those of the other two.
    "anime-vanilla-gan-nog": replace(
        VANILLA_128,
        summary="vanilla GAN, nearest orthogonal gradient, 128×128, 30 latents; settings of CelebA's",
        data=replace(VANILLA_128.data, name="anime-face", frame="middle"),
    ),
}
