"""The process of one peer: makes it, then does the tasks that it reads, one line of JSON each.

python worker.py PEER FOLDER ENDPOINT CORE (an empty endpoint or core means none)
"""

import json
import os
import sys
from pathlib import Path

from peers import make_peer
from tasks import TASKS


def main() -> None:
    """Answer until stdin ends."""
    name, folder, endpoint, core = sys.argv[1:]
    if core:
        os.sched_setaffinity(0, {int(core)})
    # Answers have the old stdout to themselves; what a peer prints goes to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = make_peer(name, Path(folder), endpoint or None)
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        found = TASKS[asked.pop("task")](peer, **asked)
        print(json.dumps(found), file=answers, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
