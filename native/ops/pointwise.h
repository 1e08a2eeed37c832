// Small matrix products over pixels: out[pixel][column] = sum over depth of a[pixel][depth] * b[depth][column], and the products of its gradient.
#pragma once

#include <vector>

#include "scratch.h"

namespace ista {

// A matrix laid out for `multiply`: blocks of a few column vectors, each block contiguous over the depth; columns filled up with zeros.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  // matrix(depth, column) = values[depth * depth_stride + column * column_stride].
  PackedMatrix(const float* values, int depth, int columns, int depth_stride, int column_stride);
  int depth() const { return depth_; }
  int columns() const { return columns_; }
  int padded_columns() const { return rounded_up(columns_); }
  const float* data() const { return data_.data(); }

 private:
  int depth_ = 0, columns_ = 0;
  AlignedFloats data_;
};

// Where pixel p of a row-major image goes: rows of `width` pixels, `pixel` floats apart, rows `row` floats apart.
struct PixelMap {
  int width;
  int pixel;
  int row;
};

// What happens to a product on its way out.
struct ProductTarget {
  float* out;
  PixelMap map;
  int columns;                     // written per pixel: the matrix's own number or the padded one
  const float* positive = nullptr;  // laid out as `out`: the gradient of a ReLU, zero where this is not positive
  bool accumulate = false;         // add to what is there
};

// A part of a product's left side: `channels` values of every pixel, pixels `pitch` floats apart.
struct ProductSource {
  const float* values;
  int pitch;
  int channels;
};

// out = a x b for `pixels` rows of a, `a_pitch` floats apart.
void multiply(const float* a, int pixels, int a_pitch, const PackedMatrix& b, const ProductTarget& target);
// out = relu(the sources, side by side) x b; without ReLU if `relu` is false. With it, `target` may only store.
void multiply(const std::vector<ProductSource>& sources, bool relu, int pixels, const PackedMatrix& b, const ProductTarget& target);

// Pixels of two images: rows of `width` pixels, so many floats apart.
struct PixelRows {
  int rows;
  int width;
  ptrdiff_t a_row = 0, b_row = 0;
};

// sum[i][j] += sum over pixels of a[pixel][i] * b[pixel][j], j < padded b channels, with relu(a) if `relu`; sum has rows of b_padded.
void add_outer_products(ProductSource a, bool relu, const float* b, int b_pitch, int b_padded, PixelRows pixels, float* sum);

}  // namespace ista
