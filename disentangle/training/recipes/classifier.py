"""Classifiers."""

from dataclasses import replace

from disentangle.training.architectures import ResNetConfig
from disentangle.training.objectives import ClassifierLoss
from disentangle.training.optimizers import SGDConfig
from disentangle.training.recipe import DataConfig, Recipe
from disentangle.treatments import TreatmentConfig

# Decorrelated batch norm as published for CIFAR: 350 epochs of 50,000 pictures, the rate falling at 100, 200 and 300.
CIFAR = Recipe(
    data=DataConfig("cifar-10", size=32, channels=3, flip=True, crop="shift"),
    model=ResNetConfig(depth="18"),
    loss=ClassifierLoss(),
    optimizer=SGDConfig(milestones=(100 / 350, 200 / 350, 300 / 350)),
    treatment=TreatmentConfig(()),
    steps=350 * 50_000 // 128,
    batch_size=128,
    ema_pictures=0,
    log_every=50,
    conditioning_every=50,
    test_every=50_000 // 128,
    checkpoint_every=5_000,
)

# Small residual networks, minutes on a CPU.
SMALL_RESNET = Recipe(
    model=ResNetConfig(depth="small"),
    loss=ClassifierLoss(),
    optimizer=SGDConfig(milestones=(0.6, 0.85)),
    treatment=TreatmentConfig(()),
    steps=2 * 60_000 // 128,  # two epochs of Fashion-MNIST
    batch_size=128,
    ema_pictures=0,
    log_every=10,
    conditioning_every=10,
    test_every=60_000 // 128,
    checkpoint_every=200,
)

RECIPES: dict[str, Recipe] = {
    "digits-resnet": replace(
        SMALL_RESNET,
        summary="classifier, decorrelated batch norm; handwritten digits, a minute on a CPU",
        data=DataConfig("digits", size=32, crop="shift"),
        steps=300,
        test_every=50,
        checkpoint_every=100,
    ),
    "fashion-resnet": replace(
        SMALL_RESNET,
        summary="classifier, decorrelated batch norm; Fashion-MNIST, minutes on a CPU",
        data=DataConfig("fashion-mnist", size=28, flip=True),
    ),
    "fashion-resnet-covariance": replace(
        SMALL_RESNET,
        summary="classifier, covariance pooling; Fashion-MNIST, minutes on a CPU",
        data=DataConfig("fashion-mnist", size=28, flip=True),
        model=ResNetConfig(depth="small", norm="batch", pool="covariance", pool_channels=32),
    ),
    "cifar10-resnet18": replace(
        CIFAR, summary="classifier, decorrelated batch norm as published; CIFAR-10, 350 epochs on a GPU"
    ),
    "cifar100-resnet50": replace(
        CIFAR,
        summary="classifier, decorrelated batch norm as published; CIFAR-100, 350 epochs on a GPU",
        data=replace(CIFAR.data, name="cifar-100"),
        model=ResNetConfig(depth="50"),
    ),
    "imagenet-resnet50": Recipe(
        summary="classifier, covariance pooling as published; ImageNet (--data.root FOLDER), 60 epochs on GPUs",
        data=DataConfig("class-folder", size=224, channels=3, flip=True, crop="resized"),
        model=ResNetConfig(depth="50", norm="batch", pool="covariance", stem="large"),
        loss=ClassifierLoss(),
        optimizer=SGDConfig(learning_rate=0.0794, weight_decay=1e-4, milestones=(30 / 60, 45 / 60)),
        treatment=TreatmentConfig(()),
        steps=60 * 1_281_167 // 256,
        batch_size=256,
        ema_pictures=0,
        conditioning_every=100,
        test_every=5_004,
        checkpoint_every=5_000,
    ),
}
