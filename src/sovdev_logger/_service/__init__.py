"""One initialised service: its logger, its outputs, and its life."""
