"""Break the rules in each place, one at a time, and see whether their tables notice: `make mutants`.

Fails where fewer than 95 % of the mutants die, and where one survives that survivors.md does not explain.
https://mutmut.readthedocs.io/
"""

# ruff: noqa: T201

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
WORK = ROOT / ".build" / "mutants"
SURVIVORS = Path(__file__).with_name("survivors.md")
LEAST = 95.0
DEAD = {"killed", "timeout", "segfault"}


class Change(NamedTuple):
    """What a mutant does: the function that it changes, its lines before and after."""

    function: str
    before: str
    after: str


def main() -> int:
    """Make the mutants, run them, and say how many live."""
    _prepare()
    # The properties draw the same examples for each mutant.
    try:
        _mutmut("run", "--max-children", str(os.cpu_count() or 1))
    except subprocess.CalledProcessError as error:
        print(f"\nmutmut has ended with {error.returncode}: the tables have to pass before they are tried.")
        return 1
    statuses = dict(re.findall(r"^ +(\S+): (.+)$", _mutmut("results", "--all", "true", quiet=True), re.MULTILINE))
    alive = [name for name, status in statuses.items() if status not in DEAD]
    explained = _explained()
    changes = {name: _change(name) for name in alive}
    unexplained = [name for name, change in changes.items() if change not in explained]
    for name in unexplained:
        change = changes[name]
        print(f"\n{name}: {statuses[name]}, and not in {SURVIVORS.relative_to(ROOT)}\n{change.before}\n{change.after}")
    for change in explained - set(changes.values()):
        print(f"\nDoes not survive any more: {change.function}\n{change.before}\n{change.after}")
    share = 100 * (1 - len(alive) / len(statuses))
    counted = ", ".join(f"{count} {status}" for status, count in Counter(statuses.values()).most_common())
    print(f"\n{len(statuses)} mutants: {counted}. {share:.1f} % die, {LEAST} % have to.")
    return 1 if share < LEAST or unexplained else 0


def _prepare() -> None:
    """Lay the folders out as mutmut wants them: the package under `src`, and nothing of an earlier run."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    for name, target in {"src": "lambda", "tests": "tests", "pyproject.toml": "pyproject.toml"}.items():
        (WORK / name).symlink_to(ROOT / target)


def _mutmut(*arguments: str, quiet: bool = False) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"CI": "1"}
    command = [sys.executable, "-m", "mutmut", *arguments]
    done = subprocess.run(
        command, cwd=WORK, env=environment, text=True, check=True, stdout=subprocess.PIPE if quiet else None
    )
    return done.stdout or ""


def _change(mutant: str) -> Change:
    lines = _mutmut("show", mutant, quiet=True).splitlines()
    module, _, function = mutant.partition("__mutmut_")[0].removeprefix("ecs_deploy.core.").partition(".")
    before, after = (
        "\n".join(line[1:].strip() for line in lines if re.match(rf"\{sign}(?!{re.escape(sign * 2)})", line))
        for sign in "-+"
    )
    return Change(f"{module}.{function.removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}", before, after)


def _explained() -> set[Change]:
    """The survivors that are listed: under a function's name, each change as a diff."""
    found = set()
    for section in re.split(r"^## ", SURVIVORS.read_text(), flags=re.MULTILINE)[1:]:
        function = section.partition("\n")[0].strip("` ")
        for block in re.findall(r"^```diff\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
            before, after = ("\n".join(re.findall(rf"^\{sign} *(.*)$", block, re.MULTILINE)) for sign in "-+")
            found.add(Change(function, before.strip(), after.strip()))
    return found


if __name__ == "__main__":
    sys.exit(main())
