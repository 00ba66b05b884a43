"""Recipes, objectives, the loop that trains them, and the folder that holds a run."""
