"""Train generators whose latents mean something, score them, and steer them in the browser."""

__version__ = "0.1.0"
