"""Mechanism at a glance: where post-training changed the weights, and how sharp predictions become along depth."""
