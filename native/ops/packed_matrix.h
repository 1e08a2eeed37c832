// The right side of a product, in the layout of the kernels.
#pragma once

#include "scratch.h"

namespace ista {

class PackedMatrix {
 public:
  PackedMatrix() = default;
  // matrix(depth, column) = values[depth * depth_stride + column * column_stride].
  PackedMatrix(const float* values, int depth, int columns, int depth_stride, int column_stride)
      : depth_(depth), columns_(columns), data_(static_cast<size_t>(depth) * rounded_up(columns)) {
    vector_code().products.pack(values, depth, columns, depth_stride, column_stride, data_.data());
  }
  Packed packed() const { return {data_.data(), depth_, columns_}; }

 private:
  int depth_ = 0, columns_ = 0;
  AlignedFloats data_;
};

// out = a x b for `pixels` rows of a, `a_pitch` floats apart.
inline void multiply(const float* a, int pixels, int a_pitch, Packed b, const ProductTarget& target) {
  const ProductSource source{a, a_pitch, b.depth};
  vector_code().products.multiply(&source, 1, false, pixels, b, target);
}

}  // namespace ista
