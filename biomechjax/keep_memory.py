"""Commands import this first: on Linux it starts the process again with an allocator that keeps its memory.

On a CPU every step frees hundreds of megabytes and asks for them again; glibc would hand them back to the kernel each
time, and touching the fresh pages took two thirds of a small decoder's step. The setting is read before Python runs, so
it cannot be made from within; a GLIBC_TUNABLES of the user's own is left alone.
"""

import os
import sys

TUNABLES = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=100000000000:glibc.malloc.arena_max=1"

if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
    os.environ["GLIBC_TUNABLES"] = TUNABLES
    os.execv(sys.executable, [sys.executable, *sys.argv])
