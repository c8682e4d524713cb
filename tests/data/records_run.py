"""tokenize_data.py with shards of few trials: SHARD, then what the command takes."""

import runpy
import sys
from pathlib import Path

from biomechjax.data import tokenizing

if __name__ == "__main__":  # and not in its workers
    tokenizing.SHARD = int(sys.argv[1])
    command = Path(__file__).parents[2] / "scripts" / "tokenize_data.py"
    sys.argv = [str(command), *sys.argv[2:]]
    runpy.run_path(str(command), run_name="__main__")
