"""Shared by remote outputs: queue, batches, retry, ledger and HTTP."""
