"""``disentangle directions``: look at direction files, compare, merge, exchange and name them."""
