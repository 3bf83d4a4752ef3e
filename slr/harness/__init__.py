"""Benchmarks: lm-evaluation-harness on models in memory, and tasks of our own for it."""
