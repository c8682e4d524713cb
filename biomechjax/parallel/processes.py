"""Training over several processes: each host of a cluster or a TPU pod runs the same command for its own devices.

The processes share a file system. What is written once the first one writes; checkpoints are written by all together.
"""

import dataclasses
import os
import sys
from collections.abc import Callable
from typing import NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from biomechjax.errors import InputError

# What gloo (on CPUs), NCCL and JAX's coordination say in an error that another process is the reason of.
LOST = ("Gloo ", "remote process exited", "UNAVAILABLE", "DEADLINE_EXCEEDED", "Barrier", "heartbeat")
SHUTDOWN_S = 60  # that a process which is done waits for the others, and no more where one of them hangs
COUNTS = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")  # of processes, as the launcher says


@dataclasses.dataclass(frozen=True)
class Processes:
    """Which processes train together. What is not given is asked of the cluster: SLURM, Open MPI, a TPU pod, GKE or a
    Kubernetes job.

    Raises:
        InputError: a value is out of its range.
    """

    coordinator: str | None = None
    """HOST:PORT on which the first process answers the others; also JAX_COORDINATOR_ADDRESS in the environment."""
    count: int | None = None
    """Of processes; 1 trains alone, whatever the cluster says."""
    index: int | None = None
    """Of this process, from 0."""

    def __post_init__(self) -> None:
        if self.coordinator is not None and not self.coordinator.rpartition(":")[2].isdecimal():
            raise InputError(f"--processes.coordinator {self.coordinator}: expected HOST:PORT")
        if self.count is not None and self.count < 1:
            raise InputError(f"--processes.count {self.count}: expected at least 1")
        if self.index is not None and not 0 <= self.index < (self.count or self.index + 1):
            raise InputError(f"--processes.index {self.index}: expected 0 to {(self.count or 1) - 1}")


def join_processes(processes: Processes) -> None:
    """Joins the other processes of a training, where there are any, before anything is computed.

    Where neither the settings nor the cluster (through JAX's detection, `jax.distributed.initialize`) name several
    processes, this does nothing. On CPUs the processes talk through gloo, JAX's default.

    Raises:
        InputError: the settings are incomplete and the cluster does not complete them, or the others do not answer.
        RuntimeError: JAX has computed already.
    """
    given = {f"--processes.{name}": value for name, value in dataclasses.asdict(processes).items()}
    given["--processes.coordinator"] = processes.coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
    anything = any(value is not None for value in given.values())
    if processes.count == 1 or (not anything and "1" in map(os.environ.get, COUNTS)):
        return
    try:
        address, count, index = given.values()
        jax.distributed.initialize(address, count, index, shutdown_timeout_seconds=SHUTDOWN_S)
        # Devices wait for the others two minutes, and gloo half a minute, when first used: best while all are here.
        multihost_utils.sync_global_devices("joined")
    except ValueError as e:
        missing = [name for name, value in given.items() if value is None]
        if anything and missing:
            raise InputError(f"{' and '.join(missing)} missing, and no cluster was found that says it ({e})") from e
        if anything or "coordinator_address" not in str(e) or os.environ.get("OMPI_COMM_WORLD_SIZE"):
            raise InputError(f"several processes were started, but not found ({e}); give {', '.join(given)}") from e
    except jax.errors.JaxRuntimeError as e:
        raise InputError(f"the processes did not all join ({e}); is {given['--processes.coordinator']} right?") from e


def lost_another(error: Exception) -> bool:
    """Whether an error, in one of several processes, comes from another one that has ended or cannot be reached."""
    return jax.distributed.is_initialized() and any(words in str(error) for words in LOST)


def end_alone(status: int) -> NoReturn:
    """Ends this process at once: an ordinary end waits for the others, who wait for this one or are gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def first_process() -> bool:
    """Whether this process is the one that writes what is written once."""
    return jax.process_index() == 0


def write_once(write: Callable[[], object]) -> None:
    """Lets the first process write, when all have come here and so have read what was there; returns when it is done.

    Raises:
        InputError: in the other processes, when the first could not; it raises its own error.
    """
    if jax.process_count() == 1:
        write()
        return
    multihost_utils.sync_global_devices("before writing")
    error = None
    if first_process():
        try:
            write()
        except Exception as e:
            error = e
    failed = multihost_utils.broadcast_one_to_all(np.int32(error is not None))
    if error:
        raise error
    if failed:
        raise InputError("the first process could not write; it says why")
