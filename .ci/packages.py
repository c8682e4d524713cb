"""Checks the packages that tests run with: each under a licence of requirements/policy.toml, none with a known
vulnerability. Where the index does not tell of vulnerabilities it says so, and passes."""

import argparse
import json
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

POLICY = Path(__file__).parents[1] / "requirements" / "policy.toml"
TELLS = "https://pypi.org/pypi/pip/25.0/json"  # as pip-audit asks of each package
PATIENCE_S = 10


def licence_problems(packages: Iterable[Mapping[str, str]], policy: Mapping[str, Any]) -> list[str]:
    """The packages of `pip-licenses --format=json` that may not be there."""
    found = []
    for package in packages:
        name, licence = package["Name"], package["License"].strip().partition("\n")[0]
        if licence not in policy["licences"] and name not in policy["exceptions"]:
            found.append(f"{name} {package['Version']}: licence {licence!r} is not in {POLICY.name}")
    return found


def vulnerability_problems(audit: Mapping[str, Any], policy: Mapping[str, Any]) -> tuple[list[str], int]:
    """The vulnerabilities of `pip-audit --format=json` that nobody gave a reason to ignore, and how many packages it
    could not look at."""
    found, skipped = [], 0
    for package in audit["dependencies"]:
        skipped += "skip_reason" in package
        for one in package.get("vulns", ()):
            if not {one["id"], *one.get("aliases", ())} & policy["vulnerabilities"].keys():
                fixed = ", ".join(one["fix_versions"]) or "no version"
                found.append(f"{package['name']} {package['version']}: {one['id']}, fixed in {fixed}")
    return found, skipped


def tells() -> str:
    """Empty if the index tells of vulnerabilities, else why it does not."""
    try:
        with urllib.request.urlopen(TELLS, timeout=PATIENCE_S) as answer:
            return "" if "vulnerabilities" in json.load(answer) else "its answer has none"
    except (OSError, ValueError) as e:
        return str(e)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="of the environment whose licences are looked at")
    parser.add_argument("--locked", required=True, help="the lock whose packages may have vulnerabilities")
    args = parser.parse_args()
    policy = tomllib.loads(POLICY.read_text(encoding="utf-8"))
    here = Path(sys.executable).parent

    def said(*words: str) -> str:
        return subprocess.run([str(here / words[0]), *words[1:]], capture_output=True, text=True).stdout

    packages = json.loads(said("pip-licenses", "--python", args.python, "--format=json"))
    problems = licence_problems([p for p in packages if p["Name"] != "biomechjax"], policy)
    print(f"licences of {len(packages)} packages: {len(problems)} not allowed")
    if why := tells():
        print(f"vulnerabilities: NOT looked for, {TELLS} does not tell: {why}")
    else:
        words = ("--vulnerability-service", "pypi", "--require-hashes", "--disable-pip", "--progress-spinner", "off")
        report = said("pip-audit", *words, "--format", "json", "--requirement", args.locked)
        audit = json.loads(report) if report.strip() else {"dependencies": []}
        found, skipped = vulnerability_problems(audit, policy)
        looked = len(audit["dependencies"]) - skipped
        print(f"vulnerabilities of {looked} packages: {len(found)}; {skipped} could not be looked at")
        problems += found
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
