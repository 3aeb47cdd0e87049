"""Where entries go: each module is one stdlib handler."""
