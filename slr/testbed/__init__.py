"""A tiny world and three pairs of tiny models that live in it: the embedded default of all experiments."""
