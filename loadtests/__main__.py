"""`python -m loadtests`: the benchmark; `… engineers` and the like: see the modules of those names; `… --keep` keeps
what such a part printed in RESULTS.md.
"""

import sys

from loadtests import apis, bench, engineers, kept, mysql, outgoing, people, questions, restart, trail

OTHERS = {
    "engineers": engineers.main,
    "http": apis.main,
    "mysql": mysql.main,
    "outgoing": outgoing.main,
    "people": people.main,
    "questions": questions.main,
    "restart": restart.main,
    "trail": trail.main,
}

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments and arguments[0] in OTHERS:
        sys.exit(kept.measured(arguments[0], OTHERS[arguments[0]], arguments[1:]))
    sys.exit(bench.main(arguments))
