"""What makes a value safe to log: JSON for anything, no credentials, short stack traces."""
