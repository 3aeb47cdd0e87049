#!/bin/sh
# Runs the company lookup in a folder of its own and shows what it wrote.
set -eu
python=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export LOG_FILE_PATH="$folder/dev.log" ERROR_LOG_PATH="$folder/error.log" LOG_TO_CONSOLE=true

echo "The company lookup, as the console shows it:"
echo
"$python" examples/company_lookup.py 2>&1
echo
echo "One entry as a line of the JSON file (of $(wc -l < "$LOG_FILE_PATH" | tr -d ' ')):"
echo
sed -n 5p "$LOG_FILE_PATH"
