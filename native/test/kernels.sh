#!/bin/bash
# Builds native/test/kernels_main.cc, without libtorch: native/test/kernels.sh COMPILER MACHINE PROGRAM, as in
# native/test/kernels.sh aarch64-linux-gnu-g++ aarch64 build/kernels-aarch64
set -euo pipefail
compiler=${1:?expected a compiler} machine=${2:?expected a machine} program=$(realpath -m "${3:?expected a program to build}")
cd "$(dirname "$0")/.."
architecture=kernels/$machine
[ -d "$architecture" ] || architecture=kernels/other
objects=$(mktemp -d)
trap 'rm -r "$objects"' EXIT
for set in "$architecture"/*.flags; do
  for source in kernels/*.cc; do
    "$compiler" -O3 -std=c++17 "@$set" -c "$source" -o "$objects/$(basename "$source" .cc).$(basename "$set" .flags).o" &
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
  done
done
wait
others=(ops/{dense,direct,norm,planes,pool,separable,vector_code}.cc)
"$compiler" -O1 -std=c++17 -static test/kernels_main.cc "${others[@]}" "$objects"/*.o -o "$program"
