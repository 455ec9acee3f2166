"""`make demo`: what an earlier one has left. CI runs all of it."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

from tests.support.answers import REPOSITORY


def test_an_earlier_demo_goes_but_for_its_environment_and_its_lock(tmp_path: Path) -> None:
    demo = runpy.run_path(str(REPOSITORY / "scripts/demo.py"))
    project, outside = tmp_path / "demo", tmp_path / "outside"
    for folder in (project / ".venv", project / "src", outside):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    (project / "file").touch()
    (project / "uv.lock").touch()
    (project / "link").symlink_to(outside)
    (project / "broken").symlink_to("nowhere")
    demo["render"]("true", os.environ, project, {})  # A stand-in for uv.
    assert sorted(path.name for path in project.iterdir()) == [".venv", "uv.lock"]
    assert (outside / "file").exists()
    assert (project / ".venv/file").exists()
