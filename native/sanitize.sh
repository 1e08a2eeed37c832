#!/bin/bash
# The fused kernels under a sanitizer: native/sanitize.sh address|thread. Flags for libtorch may be given in TORCH_CXXFLAGS and TORCH_LDFLAGS.
set -euo pipefail
cd "$(dirname "$0")"
kind=${1:?expected address or thread}
case $kind in
  # A kernel that reads within an allocation but beyond its tensor is seen too: each tensor is an allocation of its own.
  address) flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-sanitize=alignment" ;;
  thread) flags="-fsanitize=thread" ;;
  *) echo "expected address or thread, got $kind" >&2; exit 2 ;;
esac
build=../build/sanitize-$kind
mkdir -p "$build"
objects=()
# compile SOURCE OBJECT FLAG...
compile() {
  local source=$1 object=$2
  shift 2
  objects+=("$object")
  if [ ! -e "$object" ] || [ -n "$(find ops kernels test -newer "$object" \( -name '*.h' -o -name '*.flags' -o -path "$source" \) -print -quit)" ]; then
    # shellcheck disable=SC2086
    g++ -O1 -g1 -std=c++17 -fopenmp $flags "$@" -c "$source" -o "$object" &
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
  fi
}
for source in ops/*.cc test/sanitize_main.cc; do
  # shellcheck disable=SC2086
  [ "$source" = ops/register.cc ] || compile "$source" "$build/$(basename "$source" .cc).o" ${TORCH_CXXFLAGS:-}
done
architecture=kernels/$(uname -m)
[ -d "$architecture" ] || architecture=kernels/other
for set in "$architecture"/*.flags; do
  for source in kernels/*.cc; do
    compile "$source" "$build/kernels-$(basename "$source" .cc).$(basename "$set" .flags).o" "@$set"
  done
done
wait
# shellcheck disable=SC2086
g++ -fopenmp $flags -o "$build/run" "${objects[@]}" ${TORCH_LDFLAGS:-} -ltorch -ltorch_cpu -lc10
# libtorch is not instrumented: what it keeps until the process ends is not ours. Without address randomisation, since the thread
# sanitizer of older compilers does not find its way around on newer kernels.
export ASAN_OPTIONS=detect_leaks=0:detect_container_overflow=0 TSAN_OPTIONS=halt_on_error=1
for code in $(setarch "$(uname -m)" -R "$build/run" --vector-codes); do
  ISTA_NAS_VECTOR=$code setarch "$(uname -m)" -R "$build/run"
done
