"""What all commands share: flags from a dataclass, a config file with overrides, and errors a person can read."""

import dataclasses
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import tyro

from biomechjax.errors import BadStep, InputError, Stopped, Unwritable
from biomechjax.parallel.processes import end_alone, lost_another

STOPPED = 75  # EX_TEMPFAIL: run the same command again to go on
BAD_STEP, UNWRITABLE = 65, 74  # EX_DATAERR and EX_IOERR
INTERRUPTED = 128 + signal.SIGINT  # as shells say it


def run(main: Callable[[], None]) -> None:
    """Runs a command: bad input is one message and exit status 2, a stopped training exit status 75,
    one whose loss is no good 65, one that could not write 74, and an interrupted one 130, each with a message.

    So is one of several processes that finds another one gone. After any other error it does not wait for the others.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "biomechjax" / "xla"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    try:
        main()
    except InputError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
    except Stopped as e:
        print(e, file=sys.stderr)
        sys.exit(STOPPED)
    except (BadStep, Unwritable) as e:
        print(f"error: {e}", file=sys.stderr)
        status = BAD_STEP if isinstance(e, BadStep) else UNWRITABLE
        end_alone(status) if jax.distributed.is_initialized() else sys.exit(status)
    except KeyboardInterrupt:
        print("interrupted; a command that keeps what it has found goes on when it is run again", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as e:
        if not jax.distributed.is_initialized():
            raise
        if lost_another(e):
            reason = str(e).splitlines()[0]
            print(
                f"stopped: another process ended or cannot be reached ({reason}); its own output says why. What was "
                "saved last is whole: run the same command again, on all hosts, to go on",
                file=sys.stderr,
            )
            end_alone(STOPPED)
        traceback.print_exc()
        end_alone(1)


def parse(arguments: type[Any], description: str) -> Any:
    """Flags from a dataclass.

    A class with a field `experiment` takes `--config FILE.py` first: a Python file of your own or from configs/, whose
    `config()` returns the experiment that the other flags then override.

    Raises:
        InputError: the config file is missing or has no `config()`.
    """
    argv = sys.argv[1:]
    fields = {f.name: f for f in dataclasses.fields(arguments)}
    if "experiment" not in fields:
        # Flags stand in any order, before or after the word that chooses what is done.
        config = (tyro.conf.CascadeSubcommandArgs,)
        return tyro.cli(arguments, description=description, args=argv, config=config)
    description += (
        "\n\n--config configs/NAME.py is required; the other flags override what it says. It is a program and is run "
        "as one: give none that you have not read."
    )
    if "--config" not in argv[:-1]:
        if {"-h", "--help"} & set(argv):
            return tyro.cli(arguments, description=description, args=argv)
        raise InputError("--config FILE.py is missing; see configs/ for the experiments there are")
    at = argv.index("--config")
    values = {n: tyro.MISSING if f.default is dataclasses.MISSING else f.default for n, f in fields.items()}
    default = arguments(**(values | {"experiment": load_config(Path(argv[at + 1]))}))
    return tyro.cli(arguments, description=description, args=argv[:at] + argv[at + 2 :], default=default)


def load_config(path: Path) -> Any:
    """The experiment that a config file describes; the only file that is run as a program, being one of the user's own.

    Raises:
        InputError: the file is missing or has no `config()`.
    """
    if not path.is_file():
        names = ", ".join(sorted(str(p) for p in Path("configs").glob("*.py")))
        raise InputError(f"--config {path}: no such file; configs here: {names or 'none'}")
    config = runpy.run_path(str(path)).get("config")
    if not callable(config):
        raise InputError(f"--config {path}: expected a function config() that returns the experiment")
    return config()
