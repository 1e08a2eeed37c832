// Images in scratch memory.
#include "planes.h"

#include <algorithm>

namespace ista {

Plane plane_in(Arena& arena, int height, int width, int pad, int pitch) {
  Plane plane{nullptr, height, width, pad, pitch};
  plane.data = arena.floats(static_cast<size_t>(height) * plane.row_pitch());
  for (int y = 0; y < height; ++y) {
    std::fill_n(plane.row(y) - pad * pitch, pad * pitch, 0.0f);
    std::fill_n(plane.row(y) + width * pitch, pad * pitch, 0.0f);
  }
  return plane;
}

Plane bordered_plane(Arena& arena, int height, int width, int pad, int pitch) {
  Plane plane{nullptr, height, width, pad, pitch};
  plane.data = arena.zeros(static_cast<size_t>(height + 2 * pad) * plane.row_pitch()) + static_cast<ptrdiff_t>(pad) * plane.row_pitch();
  return plane;
}

}  // namespace ista
