"""A gateway whose targets are observed, and no others, for the drivers' suites."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway_fixture import House, change_yaml, merge

from gateway.demo.company import write_company
from gateway.demo.ports import free_port
from gateway.demo.postgres import EmbeddedPostgres
from gateway.demo.stage import Gateway


@contextlib.contextmanager
def observing(
    directory: Path,
    postgres: EmbeddedPostgres,
    targets: Mapping[str, tuple[str, Mapping[str, Any]]],
    settings: Mapping[str, Any],
) -> Iterator[House]:
    """Start it in `directory`, with these targets: for each its policy and its settings.

    A target of `postgres` takes what is not said from the demonstration's; without one, that need not run.
    """
    company = write_company(directory / "company", postgres)
    company = replace(company, ports={name: free_port() for name in company.ports})
    policies = company.directory / "policies"
    shutil.rmtree(policies)
    policies.mkdir(mode=0o755)
    for name, (policy, _) in targets.items():
        (policies / f"{name}.yaml").write_text(policy)

    def change(tree: Any) -> None:
        (usual,) = tree["targets"].values()
        tree["targets"] = {
            name: dict(given) if "engine" in given else {**usual, **given} for name, (_, given) in targets.items()
        }
        merge(tree, {"listen": {name: {"port": port} for name, port in company.ports.items()}})
        merge(tree, settings)

    change_yaml(company.config, change)
    house = House(directory, postgres, company, Gateway(company, directory / "gateway.log"))
    try:
        house.gateway.start()
        yield house
    finally:
        house.gateway.stop()
