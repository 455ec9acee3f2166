"""The program of a worker: `python server.py LISTENER CHANNEL`, two inherited file descriptors.

The project's package is not imported here: the model brings the one it was trained with. The
modules beside this file are imported as a package of another name, and not by their own: a model
whose code imports a `model` or `body` of its own must not get these.
"""

import gc
import signal
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

NAME = "kedro_mlflow_serving"


def main(listener: int, channel: int) -> None:
    """Answer requests until the supervisor says otherwise, or is gone."""
    gc.disable()  # Most of what is made until the model is loaded stays: see worker.py.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to answer.
    folder = Path(__file__).parent
    sys.path[:] = [path for path in sys.path if path != str(folder)]
    spec = spec_from_file_location(
        NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec
    assert spec.loader
    sys.modules[NAME] = package = module_from_spec(spec)
    spec.loader.exec_module(package)
    import_module(f"{NAME}.worker").main(listener, channel)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
