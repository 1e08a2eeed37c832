// Allocator settings for activations of a few megabytes that come and go with every operator.
#include "memory.h"

#include <cstdint>

#ifdef __GLIBC__
#include <malloc.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace ista {
namespace {

#ifdef __GLIBC__
// By default every tensor of a few megabytes may be mapped and unmapped anew, so that each of its pages is zeroed and faulted in
// again; and the heap's end is given back in between. Memory of one step is kept for the next instead.
[[maybe_unused]] const bool settings_made = [] {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the largest that is allowed
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
  return true;
}();
#endif

constexpr uintptr_t kLargePage = uintptr_t(2) << 20;
// How far the heap's end may be from a tensor at it: what malloc adds to the heap at a time.
constexpr uintptr_t kHeapReserve = uintptr_t(128) << 20;

}  // namespace

void prefer_large_pages(const void* data, size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  const uintptr_t first = reinterpret_cast<uintptr_t>(data) / kLargePage * kLargePage;
  uintptr_t last = (reinterpret_cast<uintptr_t>(data) + bytes + kLargePage - 1) / kLargePage * kLargePage;
  // The rest of the heap as well, before it is touched: a region that has one small page gets no large one any more.
  const uintptr_t heap_end = reinterpret_cast<uintptr_t>(sbrk(0));
  if (heap_end > last && heap_end - last < kHeapReserve) last = heap_end;
  // A refusal changes nothing but speed.
  (void)madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
  (void)data;
  (void)bytes;
#endif
}

}  // namespace ista
