"""Makes any value safe to log: as JSON, without credentials, with short stack traces."""
