"""Tests run on the CPU unless JAX_PLATFORMS says otherwise; what they share is in `tiny.py` beside this file."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests run many small programs once each: compiling them is most of what there is to wait for.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_llvm_disable_expensive_passes=true",
)

import jax
import pytest
import tiny

from biomechjax.cohort.folder import Cohort
from biomechjax.data.records import Records
from biomechjax.data.tokenizing import write_records
from biomechjax.data.views import ViewConfig


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same step is compiled again and again by runs that start, stop and go on; once is enough."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("xla")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Six people with a walk, a Timed Up and Go and a quiet stance each."""
    return tiny.write_people(tmp_path_factory.mktemp("data") / "cohort")


@pytest.fixture(scope="session")
def records_folder(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token records of `cohort` with three views of a training trial; to be read only."""
    out = tmp_path_factory.mktemp("data") / "records"
    write_records(tiny.tokenizer(), cohort, out, ViewConfig(count=3), seed=5)
    return out


@pytest.fixture(scope="session")
def records(records_folder: Path) -> Records:
    return Records(records_folder)
