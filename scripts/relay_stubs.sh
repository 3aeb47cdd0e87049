#!/bin/sh
# Generates the stubs with which the tests check the relay's messages, or compares them with
# relay.proto. Of a fixed version of the generator: each writes its stubs a little differently.
set -eu
python=$1
proto=src/sovdev_logger/_outputs/relay
stubs=tests/support
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet "grpcio-tools==1.62.3" "setuptools<81"
"$work/env/bin/python" -W ignore -m grpc_tools.protoc --proto_path="$proto" \
  --python_out="$work" --pyi_out="$work" "$proto/relay.proto"

if [ "${2-}" = --check ]; then
  diff -u "$stubs/relay_pb2.py" "$work/relay_pb2.py"
  diff -u "$stubs/relay_pb2.pyi" "$work/relay_pb2.pyi"
  echo "the relay's stubs are current"
else
  cp "$work/relay_pb2.py" "$work/relay_pb2.pyi" "$stubs/"
fi
