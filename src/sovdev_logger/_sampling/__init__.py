"""Adaptive sampling: which entries are kept."""
