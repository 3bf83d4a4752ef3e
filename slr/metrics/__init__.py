"""Diversity and accuracy of the samples of one prompt: exact, pure functions of texts or arrays."""
