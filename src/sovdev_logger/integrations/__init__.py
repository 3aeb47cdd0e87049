"""Integrations with frameworks and other loggers."""
