#!/bin/sh
# Makes sovdev_logger/_outputs/relay/relay_pb2.py of relay.proto below the given folder, or checks that
# what is there is current. With the oldest supported tools: what newer ones make does not import
# on an older protobuf.
set -eu
python=$1
target=$2
proto=sovdev_logger/_outputs/relay/relay
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet "grpcio-tools==1.62.3" "setuptools<81"

check() {
  mkdir "$work/made"
  make_stubs "$work/made"
  diff -u "src/${proto}_pb2.py" "$work/made/${proto}_pb2.py"
  diff -u "src/${proto}_pb2.pyi" "$work/made/${proto}_pb2.pyi"
  # This environment has the oldest supported protobuf.
  cd "src/sovdev_logger/_outputs/relay"
  "$work/env/bin/python" -c "import relay_pb2; relay_pb2.StreamOpen(stream_id='x')"
  echo "the relay's stubs are current, and import on protobuf 4.25"
}

make_stubs() {
  "$work/env/bin/python" -W ignore -m grpc_tools.protoc --proto_path=src \
    --python_out="$1" --pyi_out="$1" "src/$proto.proto"
}

if [ "$target" = --check ]; then check; else make_stubs "$target"; fi
