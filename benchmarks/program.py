"""A program that logs some entries within about two seconds and ends like any other.

python program.py PEER FOLDER ENDPOINT COUNT; prints the time at which its own work was done.
"""

import sys
import time
from pathlib import Path

from peers import make_peer

PAUSES = 50
SECONDS = 2.0


def main() -> None:
    """Log; the end is the interpreter's, with its exit hooks."""
    name, folder, endpoint, count = sys.argv[1:]
    peer = make_peer(name, Path(folder), endpoint)
    for _ in range(PAUSES):
        for _ in range(int(count) // PAUSES):
            peer.call()
        time.sleep(SECONDS / PAUSES)
    for _ in range(int(count) % PAUSES):
        peer.call()
    print(time.time(), flush=True)


if __name__ == "__main__":
    main()
