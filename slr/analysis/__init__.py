"""Figures, tables, the page and the W&B dashboard, all made from records alone and without torch."""
