"""Trains a tiny decoder in single precision in many ways that must end alike, and writes what came out.

    matrix_run.py OUT.npz DEVICES CASE,... [COORDINATOR COUNT INDEX]

A case is WHAT/STRATEGY/PARTS/LAYERS: `full`, `lora` or `qlora`; the strategy; how many parts of a batch are computed
one after the other; layers in a `scan` whose activations are computed again, or `unrolled`. Beside each WHAT among the
cases `WHAT/one` is trained: on one device, in one part, with unrolled layers. Arrays are CASE:LEAF.

Of several processes, each of DEVICES / COUNT devices, the first one writes; they train no `WHAT/one`.
"""

import dataclasses
import functools
import sys

import jax
import numpy as np
import tiny
from device_run import train

from biomechjax.language.adapters import freeze, init_adapters
from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import init_params
from biomechjax.language.lora import LoraConfig
from biomechjax.parallel.processes import Processes, first_process, join_processes
from biomechjax.parallel.runner import batch_share
from biomechjax.training.config import AdaptConfig, TrainConfig
from biomechjax.training.decoder import adapter_learner, decoder_learner
from biomechjax.training.pretrained import decoder_params

TRAIN = TrainConfig(steps=10, batch_size=32, learning_rate=1e-3, warmup_steps=5, weight_decay=0.01)
LAYERS = {"scan": {"unroll": 1, "remat": "full"}, "unrolled": {"unroll": 2, "remat": "none"}}
BASE = {"lora": "float32", "qlora": "nf4"}


def shape_of(what: str) -> DecoderConfig:
    if what != "qlora":
        return tiny.decoder_config()
    # Every device has a whole tile of nf4, 64 inputs, of each map: of eight under fsdp, of four under tp.
    return dataclasses.replace(tiny.decoder_config(), width=512, head_dim=64, mlp_width=256)


def adaptation(what: str) -> AdaptConfig:
    return AdaptConfig("lora", LoraConfig(rank=4), BASE[what], row_start="covariance")


@functools.cache
def params_of(what: str):
    return init_params(shape_of(what), jax.random.key(0))


def start(what: str, layers: str, share: tuple[int, int]) -> tuple:
    """The arguments of `train`: ragged records in packed rows; adapters with dropout."""
    records = [tiny.record(i, codes=6 + i) for i in range(12)]
    batches = tiny.batches(records, 64, TRAIN.batch_size, room=24, share=share)
    config = dataclasses.replace(shape_of(what), **LAYERS[layers])
    params = params_of(what)
    if what == "full":
        return decoder_learner(config), params, {}, batches, None
    how = adaptation(what)
    rows = np.random.default_rng(0).normal(size=(18, config.width)).astype(np.float32)
    learned = {"layers": init_adapters(config, how.lora, jax.random.key(0)), "rows": rows}
    frozen = {"base": freeze(params, how.weights), "size": np.float32(0.1)}
    return adapter_learner(config, how, tiny.vocabulary().motion_start), learned, {}, batches, frozen


def decoder_of(what: str, learned, frozen):
    """Parameters of the decoder, out of a state's."""
    if what == "full":
        return learned
    return decoder_params(learned, frozen, adaptation(what), tiny.vocabulary().motion_start)


def main() -> None:
    out, devices, cases, *others = sys.argv[1:]
    if others:
        join_processes(Processes(others[0], int(others[1]), int(others[2])))
        assert jax.process_count() == int(others[1])
    assert len(jax.devices()) == int(devices)
    given = {case: (*case.split("/"), int(devices)) for case in cases.split(",")}
    if not others:
        given = {f"{case.split('/')[0]}/one": (case.split("/")[0], "dp", "1", "unrolled", 1) for case in given} | given
    found = {}
    for case, (what, strategy, parts, layers, n) in given.items():
        share = batch_share(strategy, TRAIN.batch_size) if others else (0, 1)
        config = dataclasses.replace(TRAIN, accumulate=int(parts))
        leaves = train(*start(what, layers, share), strategy, n, config, dtype=np.float32)[2]
        found |= {f"{case}:{path}": leaf for path, leaf in leaves.items()}
        print(case, flush=True)
    if first_process():
        np.savez(out, **found)


if __name__ == "__main__":
    main()
