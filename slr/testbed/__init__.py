"""A tiny world and three pairs of tiny models that live in it, on which all experiments run by default."""
