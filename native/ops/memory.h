// Memory of activations: blocks of a few sizes that come and go with every operator, kept from step to step.
#pragma once

#include <cstddef>

namespace ista {

// Smallest size for which a block of its own is worth while.
constexpr size_t kLargeBlock = size_t(1) << 18;

// Uninitialised memory of at least `bytes`, aligned to a page. Throws std::bad_alloc.
void* take_block(size_t bytes);
// Back to where the next `take_block` of the size finds it.
void give_back_block(void* data);

// Has the C library's heap keep the memory of one step for the next, for the whole process: for programs that do little else.
void tune_allocator();

}  // namespace ista
