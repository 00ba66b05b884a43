"""The adversarial game: its settings, and the objectives of the two players."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from disentangle.errors import UserError
from disentangle.models import Discriminator, EigenGAN, Recogniser, VanillaDiscriminator, VanillaGAN
from disentangle.penalties import hessian_variances, orojar_variances, reduce_variances
from disentangle.training.augment import diff_augment
from disentangle.training.draws import Draws
from disentangle.training.objectives.adversarial import ADVERSARIAL, one_centred_penalty, zero_centred_penalties
from disentangle.training.objectives.base import STRICT, Batch, Loss, Update, check_weights, due, frozen, whole

if TYPE_CHECKING:  # a recipe holds a loss
    from disentangle.training.recipe import Recipe

PUBLISHED_WEIGHTS = {"hessian": 1e-3, "orojar": 1e-11, "vp": 0.1}
"""Weights of the generator's penalties in OroJaR's comparison on dSprites at 64×64; with OroJaR's faces it was 1e-6.

That of vp stands there beside ``recogniser_loss="binary"`` and a recogniser of 4 channels and 16 units.
"""


@dataclass(frozen=True)
class GANLoss(Loss):
    """An adversarial objective.

    A penalty that is not taken every step is not multiplied by the interval.

    Attributes:
        adversarial: which losses of the logits; see `ADVERSARIAL` in `training/objectives/adversarial.py`.
        r1_weight: weight of the R1 penalty, the mean squared gradient at real pictures; 0 for none.
        r2_weight: weight of the R2 penalty, the same at generated pictures; 0 for none. R3GAN's γ is twice either.
        r1_every: steps from one R1 and R2 penalty to the next.
        gp_weight: weight of the gradient penalty between real and generated pictures, which pulls the gradient's norm
            to 1; 0 for none. The vanilla GAN's 10 is 20 here, since its program halves the sum of the two logits'
            losses and Adam does not see a common factor.
        gp_every: steps from one gradient penalty to the next.
        augment: probability of each differentiable augmentation of what the discriminator sees; 0 for none.
        penalty: of the generator: the Hessian penalty, OroJaR, or that a network recognises which latent changed (vp).
        penalty_weight: its weight; by default OroJaR's on dSprites: hessian 1e-3, orojar 1e-11, vp 0.1.
        penalty_start: steps without it …
        penalty_warmup: … and steps over which its weight then rises linearly to the full one.
        penalty_every: steps from one Hessian penalty or OroJaR to the next.
        penalty_layers: of how many of the generator's first convolutions these are taken, if there are as many.
        penalty_samples: random directions of which they are the variance.
        penalty_epsilon: length of their finite differences.
        penalty_reduction: over pictures (and the Hessian penalty's outputs).
        recogniser_loss: of vp: cross-entropy, of one answer among the latents, which is VP's; or binary, of a yes or no
            for each latent, averaged over latents, a number some latents times smaller, which is OroJaR's.
        recogniser_channels: of each convolution of vp's network; OroJaR's are 4.
        recogniser_hidden: units of its dense layer; OroJaR's are 16.
    """

    __pydantic_config__ = STRICT
    family: ClassVar[str] = "gan"
    kind: Literal["gan"] = "gan"
    adversarial: Literal[
        "hinge", "eigengan-hinge", "non-saturating", "least-squares", "wasserstein", "relativistic"
    ] = "hinge"
    r1_weight: float = 10.0
    r2_weight: float = 0.0
    r1_every: int = 16
    gp_weight: float = 0.0
    gp_every: int = 1
    augment: float = 0.6
    penalty: Literal["none", "hessian", "orojar", "vp"] = "none"
    penalty_weight: float | None = None
    penalty_start: int = 0
    penalty_warmup: int = 0
    penalty_every: int = 1
    penalty_layers: int = 5
    penalty_samples: int = 2
    penalty_epsilon: float = 0.1
    penalty_reduction: Literal["max", "mean"] = "max"
    recogniser_loss: Literal["cross-entropy", "binary"] = "cross-entropy"
    recogniser_channels: int = 32
    recogniser_hidden: int = 128

    def penalty_weight_at(self, step: int) -> float:
        """Weight of the generator's penalty at ``step``, counted from 1."""
        if self.penalty == "none":
            return 0.0
        weight = PUBLISHED_WEIGHTS[self.penalty] if self.penalty_weight is None else self.penalty_weight
        return weight * min(1.0, max(0, step - self.penalty_start) / max(1, self.penalty_warmup))

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        check_weights(r1_weight=self.r1_weight, r2_weight=self.r2_weight, gp_weight=self.gp_weight)
        check_weights(penalty_weight=self.penalty_weight or 0.0)
        least = {"r1_every": 1, "gp_every": 1, "penalty_every": 1, "penalty_layers": 1, "penalty_samples": 2}
        least |= {"penalty_start": 0, "penalty_warmup": 0, "recogniser_channels": 1, "recogniser_hidden": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise UserError(f"loss.{name} must be at least {low}, got {getattr(self, name)}")
        if not 0 <= self.augment <= 1:
            raise UserError(f"loss.augment is a probability, between 0 and 1, got {self.augment}")
        if not 0 < self.penalty_epsilon < float("inf"):
            raise UserError(f"loss.penalty_epsilon must be above 0 and finite, got {self.penalty_epsilon}")
        if self.penalty == "vp" and self.penalty_every != 1:
            raise UserError(
                f"loss.penalty_every must be 1 for vp, whose recogniser learns every step, got {self.penalty_every}"
            )

    def networks(self, product: nn.Module, recipe: "Recipe", channels: int) -> dict[str, nn.Module]:
        """The recogniser of the VP loss."""
        if self.penalty != "vp":
            return {}
        codes = steered_latents(product)  # type: ignore[arg-type]
        shape = (self.recogniser_channels, self.recogniser_hidden)
        return {"recogniser": Recogniser(recipe.data.size, channels, codes, *shape, seed=recipe.seed)}

    def updates(self, networks: Mapping[str, nn.Module], pictures: int) -> list[Update]:
        """The discriminator's, then the generator's, with which a recogniser learns."""
        generator: EigenGAN | VanillaGAN = networks["generator"]  # type: ignore[assignment]
        discriminator: Discriminator | VanillaDiscriminator = networks["discriminator"]  # type: ignore[assignment]
        recogniser: Recogniser | None = networks.get("recogniser")  # type: ignore[assignment]
        return [
            Update("discriminator", DiscriminatorObjective(discriminator, generator, self)),
            Update("generator", GeneratorObjective(generator, discriminator, self, recogniser)),
        ]


def binary_loss(logits: Tensor, which: Tensor) -> Tensor:
    """Cross-entropy of a yes or no for each of the latents, of which one is moved, averaged over these and pictures.

    Args:
        logits: ``(n, latents)``.
        which: ``(n,)``, the latent that is.
    """
    return F.binary_cross_entropy_with_logits(logits, F.one_hot(which, logits.shape[1]).to(logits.dtype))


def steered_latents(generator: EigenGAN | VanillaGAN) -> int:
    """How many latents, the first ones, enter a Pre-SVD layer: all but EigenGAN's noise."""
    return max(int(projection.latents.stop) for projection in generator.projections())


class DiscriminatorObjective(nn.Module):
    """The discriminator's side of the game, with its gradient penalties.

    The zero-centred penalties' gradient is taken through the augmentation, the other one's between augmented pictures.
    A lazy penalty is part of its step's update, not an update of its own.
    """

    def __init__(
        self,
        discriminator: Discriminator | VanillaDiscriminator,
        generator: EigenGAN | VanillaGAN,
        loss: GANLoss,
    ) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.loss = loss
        # In a tuple, so that it is no sub-module: a distributed wrapper must see only what this objective trains.
        self._opponent = (generator,)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name: ``loss`` is what is minimised, the others are its parts."""
        (generator,) = self._opponent
        loss, draws, dtype = self.loss, batch.draws, batch.images.dtype
        with torch.no_grad():
            generated = generator(draws.normal("discriminator/latents", generator.latent_size)).to(dtype)
        images, weights = batch.images.detach(), dict[str, float]()
        if due(draws.step, loss.r1_every):
            weights = {name: w for name, w in (("r1", loss.r1_weight), ("r2", loss.r2_weight)) if w > 0}
        penalised = [{"r1": images, "r2": generated}[name].requires_grad_() for name in weights]
        real = diff_augment(images, draws, "augment/real", loss.augment)
        fake = diff_augment(generated, draws, "augment/fake", loss.augment)
        logits = self.discriminator(torch.cat([real, fake])).to(dtype)
        real_logits, fake_logits = logits.chunk(2)
        terms = {"adversarial": ADVERSARIAL[loss.adversarial].discriminator(real_logits, fake_logits)}
        if penalised:
            terms |= zip(weights, zero_centred_penalties(logits, *penalised))
        if loss.gp_weight > 0 and due(draws.step, loss.gp_every):
            share = draws.uniform("interpolation", 1, 1, 1)
            between = torch.lerp(real.detach(), fake.detach(), share).requires_grad_()
            weights["gp"] = loss.gp_weight
            terms["gp"] = one_centred_penalty(self.discriminator(between).to(dtype), between)
        total = terms["adversarial"] + sum(weight * terms[name] for name, weight in weights.items())
        return {"loss": total, **terms, "real_logit": real_logits.mean(), "fake_logit": fake_logits.mean()}


class GeneratorObjective(nn.Module):
    """The generator's side of the game, with a penalty of the generator and the recogniser that this may need."""

    def __init__(
        self,
        generator: EigenGAN | VanillaGAN,
        discriminator: Discriminator | VanillaDiscriminator,
        loss: GANLoss,
        recogniser: Recogniser | None = None,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.recogniser = recogniser
        self.loss = loss
        self._opponent = (discriminator,)
        self._steered = steered_latents(generator)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name: ``loss`` is what is minimised, the others are its parts."""
        (discriminator,) = self._opponent
        loss, draws, dtype = self.loss, batch.draws, batch.images.dtype
        adversarial, weight = ADVERSARIAL[loss.adversarial], loss.penalty_weight_at(draws.step)
        differences = loss.penalty in ("hessian", "orojar") and weight > 0 and due(draws.step, loss.penalty_every)
        # What is computed in lower precision is no use for differences.
        shown = loss.penalty_layers if differences and not torch.is_autocast_enabled(batch.images.device.type) else 0
        latents = draws.normal("generator/latents", self.generator.latent_size)
        # Wrapped weights are the same in all passes, which differences need, and computed once.
        with frozen(discriminator), parametrize.cached():
            pictures, activations = self.generator.picture_and_activations(latents, shown)
            fake = diff_augment(pictures.to(dtype), draws, "augment/generator", loss.augment)
            fake_logits = real_logits = discriminator(fake).to(dtype)
            if adversarial.paired:
                with torch.no_grad():
                    real = diff_augment(batch.images, draws, "augment/generator/real", loss.augment)
                    real_logits = discriminator(real).to(dtype)
            terms = {"adversarial": adversarial.generator(fake_logits, real_logits)}
            if differences:
                terms[loss.penalty] = self._difference_penalty(latents, activations or None, draws)
            elif self.recogniser is not None:  # also before its weight rises, so that it has gradients in any step
                terms |= self._variation(self.recogniser, latents, pictures, draws)
        total = terms["adversarial"]
        if loss.penalty in terms:
            total = total + weight * terms[loss.penalty]
        return {"loss": total, **terms}

    def _difference_penalty(self, latents: Tensor, activations: list[Tensor] | None, draws: Draws) -> Tensor:
        """The Hessian penalty or OroJaR of the first activations in the latents that are steered.

        The largest value is that of the whole batch, so the pictures' variances are gathered from all processes.
        """
        loss, codes, noise = self.loss, latents[:, : self._steered], latents[:, self._steered :]

        def fn(codes: Tensor) -> list[Tensor]:
            return self.generator.activations(torch.cat([codes, noise], dim=1), loss.penalty_layers)

        signs = torch.where(draws.uniform("penalty/directions", loss.penalty_samples, self._steered) < 0.5, -1.0, 1.0)
        options = {"epsilon": loss.penalty_epsilon, "directions": signs.transpose(0, 1), "outputs": activations}
        if loss.penalty == "hessian":
            variances = hessian_variances(fn, codes, reduction=loss.penalty_reduction, **options)  # type: ignore[arg-type]
        else:
            variances = orojar_variances(fn, codes, **options)  # type: ignore[arg-type]
        return reduce_variances(whole(variances.mT).mT, loss.penalty_reduction)

    def _variation(self, recogniser: Recogniser, latents: Tensor, pictures: Tensor, draws: Draws) -> dict[str, Tensor]:
        """The VP loss: how wrong it is about which latent was moved, by a standard normal number; and its accuracy.

        Zhu, Xu, Tao, "Learning Disentangled Representations with Latent Variation Predictability", ECCV 2020,
        arXiv 2007.12885.
        """
        which = (draws.uniform("vp/latent") * self._steered).long()
        moved = latents.scatter_add(1, which[:, None], draws.normal("vp/step", 1))
        logits = recogniser(pictures, self.generator(moved)).to(latents.dtype)
        accuracy = (logits.detach().argmax(1) == which).to(logits.dtype).mean()
        binary = self.loss.recogniser_loss == "binary"
        loss = binary_loss(logits, which) if binary else F.cross_entropy(logits, which)
        return {"vp": loss, "vp_accuracy": accuracy}
