"""Runs of experiments: cells, the loop over them, and the records that they leave."""
