"""What the kernel says of processes and of the machine: CPU seconds, memory, descriptors (proc(5)). Linux only."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of CPU: of the proxy between, of the database with all its backends, of the client."""

    proxy: float
    database: float
    client: float

    def __sub__(self, earlier: Cpu) -> Cpu:
        return Cpu(self.proxy - earlier.proxy, self.database - earlier.database, self.client - earlier.client)

    @property
    def total(self) -> float:
        """All three."""
        return self.proxy + self.database + self.client


def cpu_of(proxy: int | None, postmaster: int) -> Cpu:
    """What each side has used until now; the client is our children that have ended, and ourselves."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    return Cpu(
        _seconds(proxy, reaped=False) if proxy is not None else 0.0,
        _seconds(postmaster, reaped=True) + sum(_seconds(pid, reaped=False) for pid in _children(postmaster)),
        children.ru_utime + children.ru_stime + own.ru_utime + own.ru_stime,
    )


def private_bytes(pid: int) -> int:
    """The memory that belongs to that process alone (`smaps_rollup`: Private_Clean + Private_Dirty)."""
    fields = _table(Path(f"/proc/{pid}/smaps_rollup"))
    return sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty")) * 1024


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used until now; 0 when it is gone."""
    return _seconds(pid, reaped=False)


def children(pid: int) -> list[int]:
    """The processes that it started and that are there."""
    return list(_children(pid))


def reset_peak(pid: int) -> None:
    """Let the most memory of a process be counted from now on (proc(5): `clear_refs`)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mib(pid: int) -> float:
    """The most memory that a process had in use at once, since its start or `reset_peak`."""
    return int(_table(Path(f"/proc/{pid}/status"))["VmHWM"].split()[0]) / 1024


def raise_descriptor_limit(wanted: int = 8192) -> None:
    """Let us and our children open that many descriptors, as far as the hard limit goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def machine(state: Path) -> dict[str, str]:
    """The machine in the words that a reader needs to compare; no names of hosts, no paths."""
    model = next((value for name, value in _rows(Path("/proc/cpuinfo")) if name == "model name"), platform.machine())
    memory = int(_table(Path("/proc/meminfo"))["MemTotal"].split()[0]) / 1024**2
    uvloop = __import__("uvloop").__version__
    return {
        "CPU": f"{len(os.sched_getaffinity(0))} cores, {model}",
        "memory": f"{memory:.0f} GiB",
        "load before the run": f"{os.getloadavg()[0]:.1f} (runnable processes, mean of the last minute)",
        "system": f"Linux {platform.release().split('-')[0]}",
        "Python": f"{platform.python_version()} with uvloop {uvloop}",
        "disk of the trail": f"{_filesystem(state)}, 4 KiB append + fdatasync in {_flush_us(state):.0f} µs (median)",
    }


def busy_seconds() -> tuple[float, float]:
    """CPU seconds that the whole machine has used until now, and of them ours: this process and its ended children."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return (user + nice + system + irq + softirq) / _TICKS, sum(one.ru_utime + one.ru_stime for one in usage)


def version_of(*command: str | Path) -> str:
    """The first number in what a program says of its version."""
    said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    return next(word for word in said.split() if word[:1].isdigit())


def _seconds(pid: int, *, reaped: bool) -> float:
    """User and system time of a process, with that of its reaped children if wanted; 0 when it is gone."""
    try:
        # the name in brackets may hold blanks: what counts stands behind the last bracket
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(value) for value in fields[11 : 15 if reaped else 13]) / _TICKS


def _children(parent: int) -> Iterable[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children")
    try:
        return [int(pid) for pid in listed.read_text().split()]
    except OSError:
        return []


def _filesystem(path: Path) -> str:
    place, best, kind = str(path.resolve()), "", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, found, *_ = line.split()
        if (place + "/").startswith(mount.rstrip("/") + "/") and len(mount) >= len(best):
            best, kind = mount, found
    return kind


def _flush_us(directory: Path, times: int = 200) -> float:
    block, took = bytes(4096), []
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        for _ in range(times):
            start = time.perf_counter()
            os.write(file.fileno(), block)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - start)
    return statistics.median(took) * 1e6


def _rows(path: Path) -> Iterable[tuple[str, str]]:
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        yield name.strip(), value.strip()


def _table(path: Path) -> dict[str, str]:
    return dict(_rows(path))


if sys.platform != "linux":
    raise RuntimeError("the load tests read /proc: they run on Linux only")
