"""Processes find each other by what a cluster's launcher puts in their environment, here imitated on one host."""

import json
import random
import socket

import pytest
from processes import start_python

FIRST_PORT = 65535 - 2**12 + 1  # of those that JAX makes of the numbers of jobs
JOIN = """
import json, sys
import jax
from biomechjax.errors import InputError
from biomechjax.parallel.processes import Processes, join_processes
if {tpu}:  # as on a host with chips, which JAX looks for on the bus
    from jax._src.clusters import cloud_tpu_cluster, cluster
    cloud_tpu_cluster.running_in_cloud_tpu_vm = cluster.running_in_cloud_tpu_vm = True
try:
    join_processes(Processes())
except InputError as e:
    sys.exit(str(e))
from jax.experimental import multihost_utils
import numpy as np
seen = multihost_utils.process_allgather(np.array([jax.process_index()])).ravel().tolist()
print(json.dumps([jax.process_index(), jax.process_count(), jax.device_count(), seen]))
"""


def slurm(index: int, count: int, port: int) -> dict[str, str]:
    """Of srun, on the nodes of a job; the port is of the job's number, as JAX makes it."""
    return {
        "SLURM_JOB_ID": str(port - FIRST_PORT),
        "SLURM_STEP_NODELIST": "localhost,other[01-03]",
        "SLURM_STEP_NUM_NODES": "1",
        "SLURM_NTASKS": str(count),
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
    }


def open_mpi(index: int, count: int, port: int) -> dict[str, str]:
    """Of mpirun of Open MPI 4."""
    return {
        "OMPI_MCA_orte_hnp_uri": f"{(port - FIRST_PORT) * 2**12}.0;tcp://127.0.0.1:34911",
        "OMPI_COMM_WORLD_SIZE": str(count),
        "OMPI_COMM_WORLD_RANK": str(index),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(index),
    }


def gke(index: int, count: int, port: int) -> dict[str, str]:
    """Of a pod of a job on a TPU slice; Google's metadata server, which is not here, is not asked."""
    return {
        "TPU_WORKER_ID": str(index),
        "TPU_WORKER_HOSTNAMES": ",".join(["localhost"] * count),
        "TPU_SKIP_MDS_QUERY": "1",
        "MEGASCALE_COORDINATOR_ADDRESS": "localhost",
        "MEGASCALE_NUM_SLICES": "1",
        "MEGASCALE_SLICE_ID": "0",
        "JAX_COORDINATOR_PORT": str(port),
    }


def free_port() -> int:
    """One that a number of a job stands for."""
    for port in random.sample(range(FIRST_PORT, 2**16), 100):
        with socket.socket() as tried:
            if tried.connect_ex(("localhost", port)):
                return port
    raise RuntimeError("no free port")


def joined(cluster, count: int, devices: int = 1) -> list[tuple[int, str]]:
    port, code = free_port(), JOIN.format(tpu=cluster is gke)
    running = [start_python("-c", code, devices=devices, **cluster(i, count, port)) for i in range(count)]
    said = [p.communicate()[0] for p in running]
    return [(p.returncode, s.splitlines()[-1]) for p, s in zip(running, said, strict=True)]


OTHERS = [(slurm, 4), *((cluster, count) for cluster in (open_mpi, gke) for count in (2, 4))]


@pytest.mark.parametrize(
    ("cluster", "count"), [(slurm, 2), *(pytest.param(*other, marks=pytest.mark.slow) for other in OTHERS)]
)
def test_processes_of_a_cluster_join(cluster, count):
    found = joined(cluster, count, devices=2)
    assert [status for status, _ in found] == [0] * count, found
    everyone = list(range(count))
    assert [json.loads(said) for _, said in found] == [[i, count, 2 * count, everyone] for i in everyone]


@pytest.mark.slow
def test_a_step_of_one_task_is_alone():
    """As in an interactive session, whatever else the environment says."""
    assert joined(slurm, 1) == [(0, "[0, 1, 1, [0]]")]


@pytest.mark.slow
def test_open_mpi_without_what_jax_looks_for_is_refused():
    """Open MPI 5 no longer says where the first process is."""

    def newer(*given) -> dict[str, str]:
        return {name: value for name, value in open_mpi(*given).items() if "orte" not in name}

    for status, said in joined(newer, 2):
        assert status == 1
        assert said.startswith("several processes were started, but not found (coordinator_address should be defined")
        assert "--processes.coordinator, --processes.count, --processes.index" in said
