"""Selective Layer Restoration: give a post-trained language model its diversity back."""

from __future__ import annotations
