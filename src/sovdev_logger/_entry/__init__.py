"""The entry, and what it is made of."""
