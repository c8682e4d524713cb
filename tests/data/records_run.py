"""tokenize_data.py with shards of few trials: SHARD ADDRESS PROCESSES PROCESS, then what the command takes."""

import runpy
import sys
from pathlib import Path

import jax

from biomechjax.data import records

if __name__ == "__main__":  # and not in its workers
    shard, address, processes, process, *arguments = sys.argv[1:]
    records.SHARD = int(shard)
    if int(processes) > 1:
        jax.distributed.initialize(address, int(processes), int(process))
    command = Path(__file__).parents[2] / "scripts" / "tokenize_data.py"
    sys.argv = [str(command), *arguments]
    runpy.run_path(str(command), run_name="__main__")
