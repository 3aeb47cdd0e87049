#!/bin/sh
# Makes sovdev_logger/relay_wire/relay_pb2.py of relay.proto, below the given folder.
# With the oldest supported tools: what newer ones make does not import on an older protobuf.
set -eu
python=$1
target=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet "grpcio-tools==1.62.3" "setuptools<81"
"$work/env/bin/python" -m grpc_tools.protoc --proto_path=src \
  --python_out="$target" --pyi_out="$target" src/sovdev_logger/relay_wire/relay.proto 2>/dev/null
