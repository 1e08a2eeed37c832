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
for source in ops/*.cc test/sanitize_main.cc; do
  [ "$source" = ops/register.cc ] && continue
  object=$build/$(basename "$source" .cc).o
  objects+=("$object")
  if [ ! -e "$object" ] || [ -n "$(find ops test -newer "$object" \( -name '*.h' -o -path "$source" \) -print -quit)" ]; then
    # shellcheck disable=SC2086
    g++ -O1 -g1 -std=c++17 -march=native -fopenmp $flags ${TORCH_CXXFLAGS:-} -c "$source" -o "$object" &
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
  fi
done
wait
# shellcheck disable=SC2086
g++ -fopenmp $flags -o "$build/run" "${objects[@]}" ${TORCH_LDFLAGS:-} -ltorch -ltorch_cpu -lc10
# libtorch is not instrumented: what it keeps until the process ends is not ours. Without address randomisation, since the thread
# sanitizer of older compilers does not find its way around on newer kernels.
ASAN_OPTIONS=detect_leaks=0:detect_container_overflow=0 TSAN_OPTIONS=halt_on_error=1 setarch "$(uname -m)" -R "$build/run"
