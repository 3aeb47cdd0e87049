"""A Django project for the tests, in one package."""
