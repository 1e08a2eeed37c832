// Loops over the pixels of an image whose channels are contiguous: normalise, ReLU, mask, weighted sum.
#pragma once

#include "depthwise.h"
#include "norm.h"

namespace ista {

// The affine map in front of a ReLU; null pointers: none.
struct Affine {
  const float* scale = nullptr;
  const float* shift = nullptr;
  static Affine of(const NormState& norm) {
    return norm.exists ? Affine{norm.scale.data(), norm.shift.data()} : Affine{};
  }
};

// Rows first_row to end_row - 1 of plane = relu(scale * image + shift); the padding must already be zero.
void fill_relu(const Plane& plane, int first_row, int end_row, const float* image, int channels, Affine before);

// The gradient of the above: out (+)= gradient where scale * image + shift > 0, else 0, for `pixels` pixels.
void store_relu_gradient(const float* gradient, int pitch, const float* image, Affine before, int pixels, int channels,
                         bool accumulate, float* out);

// out (+)= values, for `pixels` pixels of which those of `values` are `pitch` floats apart.
void store_pixels(const float* values, int pitch, int pixels, int channels, bool accumulate, float* out);

// out (+)= factor * (scale * raw + shift).
void add_normalised(const float* raw, int raw_pitch, Affine norm, float factor, int pixels, int channels, bool accumulate,
                    float* out);

}  // namespace ista
