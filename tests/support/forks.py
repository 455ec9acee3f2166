"""Runs Kedro's commands, each in a fork of this process, which has imported MLflow already.

Started by forked_kedro.py with the project's own Python: a command is as real as from the shell,
and takes a second instead of several. One JSON object a line comes in (`arguments`, `cwd`, `env`),
and one goes out (`code`, `out`, `err`).
"""

import json
import os
import sys
import tempfile
from typing import IO

# Kedro itself is left to the forks: it reads the project's logging.yml when it is imported.
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def main() -> None:
    sys.path.pop(0)  # The folder of this file.
    for line in sys.stdin:
        command = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if child == 0:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                os._exit(_run(**command))
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            result = {"code": code, "out": _content(out), "err": _content(err)}
        print(json.dumps(result), flush=True)


def _run(arguments: list[str], cwd: str, env: dict[str, str]) -> int:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["kedro", *arguments]
    try:
        from kedro.framework.cli.cli import main

        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else bool(end.code)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


if __name__ == "__main__":
    main()
