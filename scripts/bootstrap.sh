#!/bin/sh
# Makes the folder $1 a private environment with a Python and a uv in its bin/, from what the machine
# has: any Python 3.10 or newer, and uv from PATH or, failing that, from the package index.
# $PYTHON, if set, names the interpreter to use; else it is the first one on PATH, or one there that
# is faster by far. Nothing outside the folder is written.
# $1/interpreter holds what to give uv as --python: that Python or, if it is newer than what the
# dependencies are released for, the version that uv shall find or fetch.
# $1/ready changes when the environment does, and only then.
set -eu

tools=$1
oldest_uv=0.8.0
supported='import sys; (3, 10) <= sys.version_info[:2] <= (3, 13) or sys.exit(1)'
new_enough='import sys; sys.version_info >= (3, 10) or sys.exit(1)'
microseconds='from timeit import repeat
print(int(1e6 * min(repeat("for i in range(2000): {str(i): [i]}.get(i)", number=1, repeat=200))))'

fail() {
    echo "$*" >&2
    exit 1
}

# The first candidate that passes the check $1.
first_python() {
    for candidate in python3 python3.13 python3.12 python3.11 python3.10 python; do
        if "$candidate" -c "$1" >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

# Take another python3 on PATH, if it does the same in less than 4/5 of the time: all targets take half
# as long again with one that was compiled without optimization, as pyenv does it.
prefer_faster_python() {
    least=$("$python" -c "$microseconds")
    IFS=:
    for folder in $PATH; do
        other=$folder/python3
        if time=$("$other" -c "$supported; import ensurepip, venv; $microseconds" 2>/dev/null) &&
            [ $((5 * time)) -lt $((4 * least)) ]; then
            python=$other least=$time
        fi
    done
    unset IFS
}

uv_is_recent() {
    version=$("$1" --version 2>/dev/null) || return 1
    "$python" - "$version" "$oldest_uv" <<'PYTHON'
import re
import sys

found, oldest = ([int(n) for n in re.findall(r"\d+", text)[:3]] for text in sys.argv[1:])
sys.exit(found < oldest)
PYTHON
}

if [ -n "${PYTHON:-}" ]; then
    python=$PYTHON
    "$python" -c "$new_enough" >/dev/null 2>&1 ||
        fail "PYTHON=$PYTHON is no Python 3.10 or newer: name one that is, as in 'make PYTHON=python3.12 ...'."
else
    python=$(first_python "$supported") || python=$(first_python "$new_enough") ||
        fail "No Python 3.10 or newer is on the PATH: install one, or name it, as in 'make PYTHON=/path/to/python3.12 ...'."
fi

# Still good from an earlier call, and asked for with the same interpreter?
wanted=${PYTHON:-}
if [ -f "$tools/ready" ] && [ "$(cat "$tools/ready")" = "python: $wanted" ] &&
    "$tools/bin/python" -c "$new_enough" >/dev/null 2>&1 && uv_is_recent "$tools/bin/uv"; then
    exit 0
fi

[ -n "${PYTHON:-}" ] || prefer_faster_python
rm -rf "$tools"
mkdir -p "$tools"
if uv=$(command -v uv) && uv_is_recent "$uv"; then
    "$python" -m venv --without-pip "$tools" >"$tools.log" 2>&1 ||
        fail "$python has no venv module: install it (Debian, Ubuntu: apt install python3-venv) and run make again."
    ln -sf "$uv" "$tools/bin/uv"
else
    echo "uv is not on the PATH: fetching it into $tools" >&2
    "$python" -m venv "$tools" >"$tools.log" 2>&1 ||
        fail "$python cannot make environments: install its venv module (Debian, Ubuntu: apt install python3-venv), or uv, and run make again."
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "uv>=$oldest_uv" >>"$tools.log" 2>&1 ||
        fail "uv could not be fetched ($(tail -n 1 "$tools.log")): check the network, or install uv, and run make again."
fi
rm -f "$tools.log"

if "$python" -c "$supported"; then
    "$tools/bin/python" -c 'import sys; print(sys.executable)' >"$tools/interpreter"
else
    echo 3.13 >"$tools/interpreter"
fi
echo "python: $wanted" >"$tools/ready"
