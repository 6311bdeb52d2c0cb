"""`python -m loadtests`: the benchmark; `python -m loadtests engineers`: ten people at work."""

import sys

from loadtests import bench, engineers

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["engineers"]:
        sys.exit(engineers.main(arguments[1:]))
    sys.exit(bench.main(arguments))
