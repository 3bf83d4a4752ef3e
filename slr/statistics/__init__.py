"""Means with intervals, paired differences and corrected p-values."""
