"""`python -m gateway.engines.http_proxy DESCRIPTOR`, started by `gateway serve` and by nobody else."""

import sys

from gateway.engines.http_proxy.server import main

main(int(sys.argv[1]))
