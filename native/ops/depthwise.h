// Depthwise filters over images whose channels are contiguous, one vector of channels at a time.
#pragma once

#include "scratch.h"

namespace ista {

struct Filter {
  int kernel;    // 3, 5 or 7
  int dilation;  // 1 or 2
  int stride;    // 1 or 2
  int padding() const { return dilation * (kernel / 2); }
  int output_size(int input) const { return (input - 1) / stride + 1; }
};

// An image in scratch memory: `pitch` floats a pixel (channels rounded up to whole vectors), `pad` pixels beside each row.
struct Plane {
  float* data;
  int height, width, pad, pitch;
  int row_pitch() const { return (width + 2 * pad) * pitch; }
  // Pixel 0 of row y.
  float* row(int y) const { return data + static_cast<ptrdiff_t>(y) * row_pitch() + pad * pitch; }
  static Plane in(Arena& arena, int height, int width, int pad, int pitch);
  // With `pad` rows of zeros above and below too, and zeros all over at first.
  static Plane bordered(Arena& arena, int height, int width, int pad, int pitch);
  // Zeroes the pixels beside the rows.
  void clear_padding() const;
};

// Output row y of the filter over `input` (padded by at least the filter's padding): `width` pixels, `input.pitch` apart.
// weights: [kernel * kernel][pitch].
void depthwise_row(Filter filter, const Plane& input, const float* weights, int y, float* out, int width);

// Row y of the gradient by the filter's input. `gradient` has the size of the *input*, a stride of 2 being spread out with zeros
// between; weights as above but turned by 180 degrees.
void depthwise_gradient_row(Filter filter, const Plane& gradient, const float* turned_weights, int y, float* out);

// sums[kernel * kernel][pitch] += gradient by the weights; `gradient` as above.
void add_depthwise_weight_gradient(Filter filter, const Plane& input, const Plane& gradient, const float* zero_row,
                                   float* sums);

}  // namespace ista
