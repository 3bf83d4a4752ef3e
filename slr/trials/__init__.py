"""Trials: what hybrids and soups of a pair answer, before one of them is built."""
