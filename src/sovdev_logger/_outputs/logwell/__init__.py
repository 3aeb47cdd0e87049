"""A Logwell server."""
