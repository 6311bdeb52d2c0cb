"""`python -m loadtests`: the benchmark; `… engineers`: ten people at work; `… restart`: budgets after a restart."""

import sys

from loadtests import bench, engineers, restart

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["engineers"]:
        sys.exit(engineers.main(arguments[1:]))
    if arguments[:1] == ["restart"]:
        sys.exit(restart.main(arguments[1:]))
    sys.exit(bench.main(arguments))
