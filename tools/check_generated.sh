#!/bin/sh
# Fails if the code that is made from chat.proto is not what protoc makes of it now.
# Usage: check_generated.sh PYTHON
set -eu
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"$1" -m grpc_tools.protoc -I . --python_out="$fresh" --grpc_python_out="$fresh" \
    --pyi_out="$fresh" chat.proto
for file in chat_pb2.py chat_pb2.pyi chat_pb2_grpc.py; do
    if ! cmp -s "$fresh/$file" "$file"; then
        echo "$file is not what chat.proto says; run make proto" >&2
        exit 1
    fi
done
echo "The generated code is up to date."
