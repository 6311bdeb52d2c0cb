"""`python -m loadtests`: the benchmark; `… engineers` and the like: see the modules of those names."""

import sys

from loadtests import bench, engineers, outgoing, questions, restart, trail

OTHERS = {
    "engineers": engineers.main,
    "outgoing": outgoing.main,
    "questions": questions.main,
    "restart": restart.main,
    "trail": trail.main,
}

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments and arguments[0] in OTHERS:
        sys.exit(OTHERS[arguments[0]](arguments[1:]))
    sys.exit(bench.main(arguments))
