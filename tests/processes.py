"""Python processes of their own, for commands and for simulated devices, which must be asked for before JAX starts."""

import os
import subprocess
import sys
from pathlib import Path

import jax

TESTS = Path(__file__).parent
# Simulated devices share the processor's cores: on a busy one a device may wait long for another.
PATIENT = "--xla_cpu_collective_call_terminate_timeout_seconds=1200 --xla_cpu_collective_timeout_seconds=1200"


def environment(devices: int = 1, **more: str) -> dict[str, str]:
    """That of this process, with so many simulated devices and biomechjax to import."""
    paths = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {PATIENT} --xla_force_host_platform_device_count={devices}",
        **more,
    }


def run_python(
    *arguments: object, devices: int = 1, cwd: Path | None = None, timeout_s: float | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Runs Python to its end."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment(devices, **more),
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def start_python(*arguments: object, devices: int = 1, **more: str) -> subprocess.Popen[str]:
    """Starts Python, with what it says on both streams as one, and with the compilations of this process."""
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command, env = [sys.executable, *map(str, arguments)], environment(devices, **cache | more)
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
