"""Undelivered items on disk."""
