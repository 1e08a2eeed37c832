// Scratch memory of 3 x 3 pooling.
#include "pool.h"

#include <algorithm>
#include <limits>

namespace ista {

Pool::Pool(Arena& arena, bool maximum, int stride, int height, int width, int channels, bool backward) {
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  const int pitch = rounded_up(channels);
  plan_.maximum = maximum;
  plan_.stride = stride;
  plan_.height = height;
  plan_.width = width;
  plan_.out_height = (height - 1) / stride + 1;
  plan_.out_width = (width - 1) / stride + 1;
  plan_.channels = channels;
  plan_.pitch = pitch;
  plan_.shares = arena.floats(plan_.out_width);
  plan_.columns = arena.zeros(static_cast<size_t>(width + 2) * pitch);
  plan_.zeros = arena.zeros(static_cast<size_t>(width + 2) * pitch) + pitch;
  // Padding that never wins.
  if (maximum) std::fill_n(plan_.columns, static_cast<size_t>(width + 2) * pitch, lowest);
  if (!backward) return;
  plan_.row = arena.floats(static_cast<size_t>(width) * pitch);
  plan_.spread = plane_in(arena, height, width, 1, pitch);
  // Between the centres of windows with a stride there are zeros, which stay.
  if (stride > 1) std::fill_n(plan_.spread.data, static_cast<size_t>(height) * plan_.spread.row_pitch(), 0.0f);
  if (!maximum) return;
  plan_.places = plane_in(arena, height, width, 1, pitch);
  plan_.image = plane_in(arena, height, width, 1, pitch);
  std::fill_n(plan_.image.data, static_cast<size_t>(height) * plan_.image.row_pitch(), lowest);
  plan_.outside = arena.floats(plan_.image.row_pitch()) + pitch;
  std::fill_n(plan_.outside - pitch, plan_.image.row_pitch(), lowest);
}

}  // namespace ista
