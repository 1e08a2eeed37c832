// How the C library is asked to hand out the memory of activations: kept between steps, and in large pages.
#pragma once

#include <cstddef>

namespace ista {

// Asks for large pages under the given range (outward to their bounds). Under a virtual machine, a pass over activations in pages of
// 4 KB spends more time on address translation than on the data. Does nothing where the system has no such call.
void prefer_large_pages(const void* data, size_t bytes);

}  // namespace ista
