"""The public functions, by what they are about."""
