"""Make an image in place of `python:3.x-slim`, where no image can be pulled.

Debian by debootstrap, and beside it the very Python that runs this, which must be the Python to
be stood in for. As root, with buildah and debootstrap:

    python scripts/base_image.py python:3.11-slim-bookworm
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

RELEASE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# What Python is linked with.
LIBRARIES = (
    *("ca-certificates", "libbz2-1.0", "libexpat1", "libffi8", "liblzma5", "libncursesw6"),
    *("libreadline8", "libsqlite3-0", "libssl3", "libuuid1", "netbase", "tzdata", "zlib1g"),
)
# What the real image leaves out.
UNUSED = shutil.ignore_patterns(
    "__pycache__", "test", "idlelib", "site-packages", "config-*", "*.a", "turtledemo"
)


def main(names: list[str]) -> None:
    """Make the image once, and give it these names."""
    with TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        run("debootstrap", "--variant=minbase", f"--include={','.join(LIBRARIES)}", RELEASE,
            str(root), MIRROR)  # fmt: skip
        add_python(root)
        for unused in ("var/lib/apt/lists", "var/cache/apt", "usr/share/doc", "usr/share/locale"):
            shutil.rmtree(root / unused)
            (root / unused).mkdir()
        # An authority of this machine's own, between it and its package index, counts within too.
        shutil.copy2(CERTIFICATES, root / CERTIFICATES[1:])
        container = run("buildah", "from", "scratch")
        run("buildah", "copy", "--quiet", container, str(root), "/")
        run("buildah", "config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "--env", "LANG=C.UTF-8", "--env", f"PIP_CERT={CERTIFICATES}",
            "--env", f"SSL_CERT_FILE={CERTIFICATES}", "--cmd", "python3", container)  # fmt: skip
        image = run("buildah", "commit", "--quiet", "--rm", "--format", "docker", container)
    for name in names:
        run("buildah", "tag", image, f"docker.io/library/{name}")


def add_python(root: Path) -> None:
    """Put this Python into /usr/local, with a pip of its own."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    prefix, local = Path(sys.base_prefix), root / "usr" / "local"
    shutil.copytree(prefix / "lib" / version, local / "lib" / version, ignore=UNUSED)
    (local / "lib" / version / "site-packages").mkdir()
    if library := sysconfig.get_config_var("INSTSONAME"):
        shutil.copy2(prefix / "lib" / library, local / "lib")
    shutil.copy2(prefix / "bin" / version, local / "bin")
    for name in ("python", "python3"):
        (local / "bin" / name).symlink_to(version)
    run("ldconfig", "-r", str(root))
    run("chroot", str(root), f"/usr/local/bin/{version}", "-m", "ensurepip")
    (local / "bin" / "pip").symlink_to("pip3")


def run(*command: str) -> str:
    """Run a command and return what it prints last."""
    print(*command, file=sys.stderr, flush=True)
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return lines.strip().rpartition("\n")[2]


if __name__ == "__main__":
    main(sys.argv[1:] or ["python:3.11-slim-bookworm"])
