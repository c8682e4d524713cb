"""No line of the package runs what a file says: the source is searched, by its syntax, for everything that could."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "runpy", "code"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
CALLS = {  # the last two names of what is called
    "os.system",
    "os.popen",
    "yaml.load",
    "yaml.full_load",
    "yaml.unsafe_load",
    "yaml.load_all",
    "builtins.eval",
    "builtins.exec",
}
METHODS = {"read_pickle", "to_pickle", "extractall", "unpack_archive"}
# Keywords by which a library does run code, and the only value that is fine.
KEYWORDS = {"allow_pickle": False, "trust_remote_code": False, "shell": False, "weights_only": True}
# A --config is a program of the user's own, as configs/*.py are, and run as one.
MEANT = {"biomechjax/command.py": ["runpy"]}


def dangers(source: str) -> Iterator[str]:
    """What in a program could run code out of data."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Name) and node.id in BUILTINS:  # called, or handed on to be called
            yield node.id
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            last = name.split(".")[-1]
            if ".".join(name.split(".")[-2:]) in CALLS or last in METHODS:
                yield name
            given = {k.arg: k.value for k in node.keywords}
            for keyword in KEYWORDS.keys() & given.keys():
                value = given[keyword]
                if not isinstance(value, ast.Constant) or value.value is not KEYWORDS[keyword]:
                    yield keyword
            if name == "torch.load" and "weights_only" not in given:
                yield name


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import pickle", "pickle"),
        ("import os, dill as d", "dill"),
        ("from cloudpickle import loads", "cloudpickle"),
        ("import joblib.memory", "joblib.memory"),
        ("x = np.load(f, allow_pickle=True)", "allow_pickle"),
        ("x = np.load(f, allow_pickle=anything)", "allow_pickle"),
        ("AutoTokenizer.from_pretrained(f, trust_remote_code=True)", "trust_remote_code"),
        ("AutoTokenizer.from_pretrained(f, trust_remote_code=1)", "trust_remote_code"),
        ("eval('1 + 1')", "eval"),
        ("list(map(eval, cells))", "eval"),
        ("exec(text)", "exec"),
        ("__import__(name)", "__import__"),
        ("yaml.load(text)", "yaml.load"),
        ("torch.load(f)", "torch.load"),
        ("torch.load(f, weights_only=False)", "weights_only"),
        ("os.system(f'ls {name}')", "os.system"),
        ("subprocess.run(name, shell=True)", "shell"),
        ("archive.extractall(out)", "archive.extractall"),
        ("pd.read_pickle(f)", "pd.read_pickle"),
    ],
)
def test_each_danger_is_found(line: str, found: str):
    assert list(dangers(f"def f():\n    {line}\n")) == [found]


def test_what_only_looks_like_it_is_left_alone():
    fine = "model.eval()\nre.compile('pickle')\n# eval(x)\n'exec(1)'\nnp.load(f, allow_pickle=False)\n"
    assert list(dangers(fine + "torch.load(f, weights_only=True)\nsubprocess.run(words)\n")) == []


def test_the_source_has_none():
    files = [f for room in ("biomechjax", "scripts", "configs") for f in sorted((ROOT / room).rglob("*.py"))]
    assert len(files) > 150
    found = {f.relative_to(ROOT).as_posix(): list(dangers(f.read_text(encoding="utf-8"))) for f in files}
    assert {name: what for name, what in found.items() if what} == MEANT


def test_a_tokenizer_folder_is_told_to_bring_no_code():
    """The default of transformers is to ask the person, who may say yes."""
    source = (ROOT / "biomechjax" / "language" / "vocabulary.py").read_text()
    calls = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
    loads = [c for c in calls if ast.unparse(c.func).endswith("from_pretrained")]
    assert loads and all("trust_remote_code" in {k.arg for k in c.keywords} for c in loads)
