"""What our processes find in their environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core import environment
from core.environment import usable_cores, worker_environment
from core.paths import ROOT

OURS = (
    "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT",
    "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF",
    "LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY",
)  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 8 cores with 2 threads each, without limits: processors n and n + 8 are one."""
    for number in range(16):
        topology = tmp_path / "cpu" / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{number % 8},{number % 8 + 8}\n")
    monkeypatch.setattr(environment, "_CPUS", tmp_path / "cpu")
    monkeypatch.setattr(environment, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(environment, "_OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def limit(machine: Path, cgroup: str, text: str) -> None:
    folder = machine / "cgroup" / cgroup
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(text)


def test_two_threads_of_a_core_are_one(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores() == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 8, 9}, raising=False)
    assert usable_cores() == 2


@pytest.mark.parametrize(
    ("own", "inner", "cores"),
    [
        ("200000 100000", "max 100000", 2),
        ("400000 100000", "50000 100000", 1),
        ("max 100000", "max 100000", 8),
        ("9900000 100000", "max 100000", 8),
    ],
)
def test_the_narrowest_quota_counts(machine: Path, own: str, inner: str, cores: int) -> None:
    (machine / "own").write_text("0::/slice/box\n")
    limit(machine, "slice", own)
    limit(machine, "slice/box", inner)
    assert usable_cores() == cores


def test_a_quota_of_the_first_cgroups_counts_too(machine: Path) -> None:
    (machine / "own").write_text("4:memory:/other\n1:cpu,cpuacct:/box\n0::/\n")
    folder = machine / "cgroup" / "cpu,cpuacct" / "box"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("300000\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores() == 3
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert usable_cores() == 8


def test_a_container_that_shows_its_outer_path_is_held_to_its_root(machine: Path) -> None:
    (machine / "own").write_text("0::/outside/box\n")
    limit(machine, "", "200000 100000")
    assert usable_cores() == 2


def test_workers_get_our_packages_their_cores_and_threads_that_hardly_spin(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    found = worker_environment()
    assert found["PYTHONPATH"].split(os.pathsep) == [str(ROOT), "/elsewhere"]
    assert (found["OMP_NUM_THREADS"], found["OMP_WAIT_POLICY"]) == ("8", "ACTIVE")
    assert found["GOMP_SPINCOUNT"] == "1000"
    assert found["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    assert found["LRU_CACHE_CAPACITY"] == found["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "64"


def test_what_a_person_has_set_stays(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "OMP_NUM_THREADS": "3",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = worker_environment()
    assert given.items() <= found.items()
    assert not {"PYTORCH_ALLOC_CONF", "GOMP_SPINCOUNT"} & found.keys()
