"""Whether a descriptor is still ours: a program may close all it has, and use the numbers again."""

import os
import socket


def identity(descriptor: int) -> tuple[int, int] | None:
    """Return device and inode of what is open at a descriptor; None if nothing is."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_ours(sock: socket.socket, ours: tuple[int, int] | None) -> bool:
    """Return whether a socket's number is still its own; without an identity it is taken to be."""
    return ours is None or identity(sock.fileno()) == ours


def detach_unless_ours(sock: socket.socket | None, ours: tuple[int, int] | None) -> bool:
    """Make a socket forget a number that somebody else has now; return whether it did.

    Closing the socket would close what the program has opened there.
    """
    if sock is None or sock.fileno() < 0 or is_ours(sock, ours):
        return False
    sock.detach()
    return True
