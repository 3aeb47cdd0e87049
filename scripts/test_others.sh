#!/bin/sh
# Runs the tests on further Pythons: on those of this machine each in an environment of its own, on
# the others in a root of Debian's unstable suite, from the wheel. Says what cannot be had here.
#
#   test_others.sh PYTHON VERSION...   (PYTHON builds the wheel)
#
# TESTS in the environment narrows it down to some paths.
set -eu
cd "$(dirname "$0")/.."
builder=$1
shift
# Tests that measure need the machine to themselves, and what a mutant shows depends on no Python.
PYTEST="-m pytest -q -n 3 --dist worksteal -m 'not alone and not mutant' ${TESTS:-}"

test_here() {
  make --no-print-directory VENV=".venv-$1" PYTHON="$2" ".venv-$1/ready"
  eval "'.venv-$1/bin/python' $PYTEST"
}

test_in_root() {
  root=$(sh scripts/debian_root.sh path)
  rm -rf "$root/checkout" "$root/wheels"
  mkdir "$root/checkout" "$root/wheels"
  tar --exclude-vcs --exclude='./.venv*' --exclude=./build --exclude='*.so' -cf - . | tar -xf - -C "$root/checkout"
  "$builder" -m pip wheel --quiet --no-deps --wheel-dir "$root/wheels" .
  sh scripts/debian_root.sh run "
    cd /checkout
    [ -e /venv-$1 ] || python$1 -m venv /venv-$1
    PATH=/venv-$1/bin:\$PATH
    python -m pip install --quiet --upgrade pip
    python -m pip install --quiet --group test /wheels/*.whl
    python -m pip install --quiet --no-deps --force-reinstall /wheels/*.whl
    python $PYTEST"
}

for version in "$@"; do
  python=$(sh scripts/interpreter.sh "$version")
  if [ -n "$python" ]; then
    echo "Python $version:"
    test_here "$version" "$python"
  elif reason=$(sh scripts/debian_root.sh prepare "$version"); then
    echo "Python $version, in a root of Debian's unstable suite:"
    test_in_root "$version"
  elif [ $? = 69 ]; then
    echo "Python $version is not on this machine ($reason): not tested."
  else
    exit 1
  fi
done
