"""Resets after a fork, signals, threads, file locks and exits: the interpreter around a logger."""
