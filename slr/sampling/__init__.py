"""Sampling of answers: the settings, and two engines that follow them."""
