"""Where the project's files and environments are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv/bin/python"
EMULATOR_PYTHON = ROOT / ".venv-emulator/bin/python"
CDK = ROOT / "node_modules/.bin/cdk"
INSTALLED = tuple(ROOT / name / ".installed" for name in (".venv", ".venv-emulator", "node_modules"))
