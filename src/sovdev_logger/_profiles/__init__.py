"""Services that log by RUN_ENVIRONMENT: start, ends, child processes."""
