"""Traces and metrics: providers, instruments and spans."""
