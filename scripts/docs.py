"""`make docs`: build the pages as a site in build/site; a link that leads nowhere fails.

The pages are written to be read in the repository, where README.md is the first one. The site gets
copies: all pages in one folder, README.md as the index, and no links to files that are no pages.
Its section Reference is read from the code.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from reference import pages as reference

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "build" / "docs"
BUILDER = "zensical==0.0.73"
# Pages beside README.md. They link to docs/, and docs/ to them.
BESIDE = {"README.md": "index.md"} | {
    name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
}
# Files of the repository that say what a page of the reference says on the site.
SOURCES = {
    "copier.yml": "reference-questions.md",
    "template/conf/base/mlflow.yml.jinja": "reference-configuration.md",
}


def main() -> int:
    """Build the site; 0 if every link leads somewhere."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv", help="the uv to use (default: the one on the PATH)")
    uv = parser.parse_args().uv
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES, ignore=shutil.ignore_patterns("__pycache__"))
    for name, copy in BESIDE.items():
        shutil.copyfile(ROOT / name, PAGES / copy)
    for page in PAGES.glob("*.md"):
        page.write_text(of_site(page.read_text(encoding="utf-8")), encoding="utf-8")
    for name, text in reference().items():
        (PAGES / name).write_text(text, encoding="utf-8")
    command = [uv, "tool", "run", "--quiet", BUILDER, "build", "--strict", "--clean"]
    built = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    said = re.sub(r"\x1b\[[\d;]*m", "", built.stderr)
    # It ends by raising what it has said already.
    found, _, raised = said.partition("Traceback (most recent call last)")
    print(found if "--strict" in raised else said, end="", file=sys.stderr)
    return built.returncode


def of_site(text: str) -> str:
    """A page's text, with its links as they are on the site."""

    def moved(link: re.Match[str]) -> str:
        label, target, anchor = link.groups()
        target = re.sub(r"^(\.\./|docs/)", "", target)
        if target in SOURCES:
            return f"[{label}]({SOURCES[target]}{anchor})"
        if target in BESIDE or not target or (ROOT / "docs" / target).exists():
            return f"[{label}]({BESIDE.get(target, target)}{anchor})"
        # Not a page of the site, but a file of the repository.
        return label if (ROOT / target).exists() else link[0]

    return re.sub(r"\[([^\]]*)\]\((?!\w+:)([^)#]*)(#?[^)]*)\)", moved, text)


if __name__ == "__main__":
    sys.exit(main())
