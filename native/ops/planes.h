// Images in scratch memory.
#pragma once

#include "scratch.h"

namespace ista {

// Padding only beside the rows, and zero; the rows are not set.
Plane plane_in(Arena& arena, int height, int width, int pad, int pitch);
// With `pad` rows of zeros above and below too, and zeros all over at first.
Plane bordered_plane(Arena& arena, int height, int width, int pad, int pitch);

}  // namespace ista
