"""The recipes, by name, a file a family. To add one, add an entry there."""

from disentangle.training.recipe import Recipe
from disentangle.training.recipes import classifier, diffusion, gan, vae

RECIPES: dict[str, Recipe] = vae.RECIPES | gan.RECIPES | diffusion.RECIPES | classifier.RECIPES
