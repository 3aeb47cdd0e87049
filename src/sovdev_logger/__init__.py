"""Structured logging that reaches the console, a file and OpenTelemetry with one call."""
