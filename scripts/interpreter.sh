#!/bin/sh
# Prints the path of the given Python (such as 3.12), from PATH or from pyenv; nothing if there is none.
set -u
version=$1
if "python$version" -c "import venv" 2>/dev/null; then
  command -v "python$version"
elif command -v pyenv >/dev/null 2>&1; then
  newest=$(pyenv versions --bare 2>/dev/null | grep "^$version\." | sort -V | tail -n 1)
  [ -n "$newest" ] && echo "$(pyenv prefix "$newest")/bin/python"
fi
exit 0
