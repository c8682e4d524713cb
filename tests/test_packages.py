"""What the check of packages refuses, on reports as pip-licenses and pip-audit write them."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("packages", ROOT / ".ci" / "packages.py")
assert SPEC and SPEC.loader
packages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(packages)
POLICY = {"licences": ["MIT"], "exceptions": {"old": "why"}, "vulnerabilities": {"CVE-1": "why"}}


@pytest.mark.parametrize(
    ("name", "licence", "allowed"),
    [
        ("a", "MIT", True),
        ("a", "MIT\n\nPermission is hereby granted", True),
        ("old", "GPL-3.0", True),
        ("a", "GPL-3.0", False),
        ("a", "MIT AND GPL-3.0", False),
        ("a", "UNKNOWN", False),
    ],
)
def test_licences_that_are_not_listed_are_refused(name: str, licence: str, allowed: bool):
    found = packages.licence_problems([{"Name": name, "Version": "1", "License": licence}], POLICY)
    assert found == ([] if allowed else [f"a 1: licence {licence!r} is not in policy.toml"])


def test_vulnerabilities_are_refused_unless_a_reason_is_given():
    def one(id: str, *aliases: str) -> dict:
        return {"id": id, "aliases": list(aliases), "fix_versions": ["2"], "description": ""}

    audit = {
        "dependencies": [
            {"name": "a", "version": "1", "vulns": [one("PYSEC-1", "CVE-1"), one("CVE-1"), one("CVE-2")]},
            {"name": "b", "version": "1", "vulns": []},
            {"name": "c", "skip_reason": "Dependency not found on PyPI"},
        ]
    }
    assert packages.vulnerability_problems(audit, POLICY) == (["a 1: CVE-2, fixed in 2"], 1)


def test_every_exception_has_a_reason():
    policy = tomllib.loads(packages.POLICY.read_text(encoding="utf-8"))
    for reason in (*policy["exceptions"].values(), *policy["vulnerabilities"].values()):
        assert len(reason.split()) > 3


def test_everything_that_is_locked_has_a_hash_and_nothing_is_missing():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [
        *project["dependencies"],
        *(d for extra in ("dev", "baselines", "c3d", "parquet", "serve") for d in extras[extra]),
    ]
    for lock, wanted in (("py311.txt", asked), ("audit.txt", ["pip-audit", "pip-licenses", "uv"])):
        text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
        pinned = re.findall(r"^([a-z0-9.-]+)(?:\[.*\])?==\S+ \\\n    --hash=sha256:[0-9a-f]{64}\b", text, re.MULTILINE)
        assert len(pinned) == len([line for line in text.splitlines() if line[:1] not in (" ", "#", "")])
        names = {re.split(r"[<>=\[]", d)[0].replace("_", "-") for d in wanted} - {"biomechjax"}
        assert names <= set(pinned)
