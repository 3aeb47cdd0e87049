"""Adaptive sampling: decides which entries are kept."""
