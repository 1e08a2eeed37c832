// Register-blocked matrix products over pixels.
#include "pointwise.h"

#include <algorithm>

namespace ista {
namespace {

// Column vectors of the next block: 6 pixels x 2 vectors fill the registers best; an odd one out goes with the last two.
int block_vectors(int vectors_left) { return vectors_left <= 3 ? vectors_left : 2; }

// P pixels x V column vectors.
template <int P, int V>
__attribute__((noinline)) void product_block(const float* a, ptrdiff_t a_pitch, const float* b, ptrdiff_t depth, float* out,
                                             ptrdiff_t out_pitch, int columns_left) {
  Vector sum[P][V] = {};
  for (ptrdiff_t k = 0; k < depth; ++k, b += V * kLanes) {
    Vector column[V];
    unroll<V>([&](auto v) { column[v] = in_register(load(b + v * kLanes)); });
    unroll<P>([&](auto p) {
      const Vector value = splat(a[p * a_pitch + k]);
      unroll<V>([&](auto v) { sum[p][v] += value * column[v]; });
    });
  }
  if (columns_left >= V * kLanes) {
    unroll<P>([&](auto p) { unroll<V>([&](auto v) { store(out + p * out_pitch + v * kLanes, sum[p][v]); }); });
  } else {
    unroll<P>([&](auto p) {
      unroll<V>([&](auto v) { store_channels(out + p * out_pitch + v * kLanes, sum[p][v], columns_left - v * kLanes); });
    });
  }
}

template <int V>
void product_of_pixels(int pixels, const float* a, int a_pitch, const float* b, int depth, float* out, int out_pitch,
                       int columns_left) {
  switch (pixels) {
    case 1: return product_block<1, V>(a, a_pitch, b, depth, out, out_pitch, columns_left);
    case 2: return product_block<2, V>(a, a_pitch, b, depth, out, out_pitch, columns_left);
    case 3: return product_block<3, V>(a, a_pitch, b, depth, out, out_pitch, columns_left);
    case 4: return product_block<4, V>(a, a_pitch, b, depth, out, out_pitch, columns_left);
    case 5: if constexpr (V < 3) return product_block<5, V>(a, a_pitch, b, depth, out, out_pitch, columns_left); break;
    case 6: if constexpr (V < 3) return product_block<6, V>(a, a_pitch, b, depth, out, out_pitch, columns_left); break;
    case 7: if constexpr (V < 2) return product_block<7, V>(a, a_pitch, b, depth, out, out_pitch, columns_left); break;
    case 8: if constexpr (V < 2) return product_block<8, V>(a, a_pitch, b, depth, out, out_pitch, columns_left); break;
  }
}

template <int V>
void product_column_block(const float* a, int pixels, int a_pitch, const float* b, int depth, float* out, PixelMap map,
                          int columns_left) {
  constexpr int kPixels = V == 1 ? 8 : V == 2 ? 6 : 4;
  // Pixels that follow each other at equal distances are one row.
  const int width = map.row == map.width * map.pixel ? pixels : map.width;
  for (int first = 0; first < pixels; first += width, out += map.row) {
    const int end = std::min(width, pixels - first);
    for (int x = 0; x < end;) {
      const int left = end - x;
      // A last block of one or two pixels would wait for its own few accumulators: share out the last two blocks.
      const int count = left > kPixels && left < 2 * kPixels ? (left + 1) / 2 : std::min(left, kPixels);
      product_of_pixels<V>(count, a + static_cast<ptrdiff_t>(first + x) * a_pitch, a_pitch, b, depth, out + x * map.pixel,
                           map.pixel, columns_left);
      x += count;
    }
  }
}

// R channels of a x V vectors of b, summed over the pixels.
template <int R, int V>
__attribute__((noinline)) void outer_block(const float* a, int a_pitch, const float* b, int b_pitch, int pixels,
                                           float* out, int out_pitch) {
  Vector sum[R][V] = {};
  for (int p = 0; p < pixels; ++p, a += a_pitch, b += b_pitch) {
    Vector column[V];
    unroll<V>([&](auto v) { column[v] = in_register(load(b + v * kLanes)); });
    unroll<R>([&](auto r) {
      const Vector value = splat(a[r]);
      unroll<V>([&](auto v) { sum[r][v] += value * column[v]; });
    });
  }
  unroll<R>([&](auto r) {
    unroll<V>([&](auto v) {
      float* target = out + r * out_pitch + v * kLanes;
      store(target, load(target) + sum[r][v]);
    });
  });
}

template <int V>
void outer_column_block(const float* a, int a_pitch, int a_channels, const float* b, int b_pitch, int pixels,
                        float* out, int out_pitch) {
  constexpr int kRows = V == 1 ? 8 : V == 2 ? 6 : 4;
  int row = 0;
  const auto run = [&](auto rows) {
    outer_block<decltype(rows)::value, V>(a + row, a_pitch, b, b_pitch, pixels, out + row * out_pitch, out_pitch);
    row += decltype(rows)::value;
  };
  // 8 = 4 + 4 rather than 6 + 2: four rows still keep the multipliers busy, two do not.
  if constexpr (V == 2) {
    while (a_channels - row >= 6 && a_channels - row != 8) run(std::integral_constant<int, kRows>{});
  } else {
    while (a_channels - row >= kRows) run(std::integral_constant<int, kRows>{});
  }
  while (a_channels - row >= 4) run(std::integral_constant<int, 4>{});
  while (a_channels - row >= 2) run(std::integral_constant<int, 2>{});
  if (a_channels - row == 1) run(std::integral_constant<int, 1>{});
}

}  // namespace

PackedMatrix::PackedMatrix(const float* values, int depth, int columns, int depth_stride, int column_stride)
    : depth_(depth), columns_(columns), data_(static_cast<size_t>(depth) * rounded_up(columns)) {
  const int vectors = rounded_up(columns) / kLanes;
  float* to = data_.data();
  for (int first = 0; first < vectors;) {
    const int count = block_vectors(vectors - first);
    for (int k = 0; k < depth; ++k) {
      for (int i = 0; i < count * kLanes; ++i, ++to) {
        const int column = first * kLanes + i;
        if (column < columns) *to = values[static_cast<ptrdiff_t>(k) * depth_stride + static_cast<ptrdiff_t>(column) * column_stride];
      }
    }
    first += count;
  }
}

void multiply(const float* a, int pixels, int a_pitch, const PackedMatrix& b, float* out, PixelMap map, int columns) {
  const int vectors = b.padded_columns() / kLanes;
  const float* block = b.data();
  for (int first = 0; first < vectors;) {
    const int count = block_vectors(vectors - first), left = columns - first * kLanes;
    float* target = out + first * kLanes;
    if (count == 3) {
      product_column_block<3>(a, pixels, a_pitch, block, b.depth(), target, map, left);
    } else if (count == 2) {
      product_column_block<2>(a, pixels, a_pitch, block, b.depth(), target, map, left);
    } else {
      product_column_block<1>(a, pixels, a_pitch, block, b.depth(), target, map, left);
    }
    block += static_cast<ptrdiff_t>(count) * kLanes * b.depth();
    first += count;
  }
}

void add_outer_products(const float* a, int a_pitch, int a_channels, const float* b, int b_pitch, int b_padded,
                        int pixels, float* sum) {
  const int vectors = b_padded / kLanes;
  for (int first = 0; first < vectors;) {
    const int count = block_vectors(vectors - first), column = first * kLanes;
    if (count == 3) {
      outer_column_block<3>(a, a_pitch, a_channels, b + column, b_pitch, pixels, sum + column, b_padded);
    } else if (count == 2) {
      outer_column_block<2>(a, a_pitch, a_channels, b + column, b_pitch, pixels, sum + column, b_padded);
    } else {
      outer_column_block<1>(a, a_pitch, a_channels, b + column, b_pitch, pixels, sum + column, b_padded);
    }
    first += count;
  }
}

}  // namespace ista
