"""Prints the resident bytes of its process: with a peer made, and after one entry was sent.

python memory.py PEER FOLDER ENDPOINT (no arguments: a bare interpreter)
"""

import sys


def resident_bytes() -> int:
    """Return what the process has in memory."""
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmRSS"))
    except FileNotFoundError:
        import resource

        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else largest * 1024
    return int(line.split()[1]) * 1024


def main() -> None:
    """Measure."""
    if len(sys.argv) == 1:
        print(resident_bytes(), resident_bytes())
        return
    from pathlib import Path

    from peers import make_peer

    name, folder, endpoint = sys.argv[1:]
    peer = make_peer(name, Path(folder), endpoint or None)
    made = resident_bytes()
    peer.call()
    peer.flush()
    print(made, resident_bytes())


if __name__ == "__main__":
    main()
