// Register-blocked matrix products over pixels.
#include "tables.h"
#include "vector.h"

namespace ista {
namespace ISTA_VECTOR_CODE {
namespace {

// Column vectors of the next block: 6 pixels x 2 vectors fill the registers best; an odd one out goes with the last two.
int block_vectors(int vectors_left) { return vectors_left <= 3 ? vectors_left : 2; }

// Calls `run` for the blocks of so many column vectors one after another, with the first vector of each and the number of them, which is
// known to the compiler.
template <class Run>
void for_blocks(int vectors, const Run& run) {
  for (int first = 0; first < vectors;) {
    const int count = block_vectors(vectors - first);
    if (count == 3) {
      run(first, Constant<3>{});
    } else if (count == 2) {
      run(first, Constant<2>{});
    } else {
      run(first, Constant<1>{});
    }
    first += count;
  }
}

// Pixels, or channels of a, whose products with V vectors have room in 16 registers: beside the sums there are the V vectors, the
// broadcast value and, for a ReLU, its zero.
template <int V, bool kRelu>
constexpr int kTogether = V == 1 ? 8 : V == 2 ? 6 : kRelu ? 3 : 4;

// A product's block on its way out; `Plain` stores, `Gradient` is for the rest of what a ProductTarget says.
struct Plain {
  void expect(const float*, ptrdiff_t) const {}
  void store_one(float* out, Vector value) const { store(out, value); }
  void store_part(float* out, Vector value, int left) const { store_channels(out, value, left); }
};
template <bool masked, bool accumulate>
struct Gradient {
  ptrdiff_t positive;  // from `out` to the ReLU's input, in floats
  // Fetches what later pixels will need while this block is multiplied.
  void expect(const float* out, ptrdiff_t step) const {
    prefetch_to_write(out, step);
    if (masked) prefetch(out + positive, step);
  }
  void store_one(float* out, Vector value) const {
    if (masked) value = load(out + positive) > Vector{} ? value : Vector{};
    store(out, accumulate ? load(out) + value : value);
  }
  void store_part(float* out, Vector value, int left) const {
    if (masked) value = load_channels(out + positive, left) > Vector{} ? value : Vector{};
    store_channels(out, accumulate ? load_channels(out, left) + value : value, left);
  }
};

// The left side of a product, from pixel `first` on.
struct Rows {
  const ProductSource* sources;
  int count;
  ptrdiff_t first;
};

template <bool kRelu>
Vector splat_of(float value, Vector zero) {
  return kRelu ? maximum(zero, splat(value)) : splat(value);
}

// P pixels x V column vectors.
template <int P, int V, bool kRelu, class Sink>
__attribute__((noinline)) void product_block(Rows rows, const float* b, float* out, ptrdiff_t out_pitch, int columns_left,
                                             Sink sink) {
  const Vector zero = in_register(Vector{});
  Vector sum[P][V] = {};
  unroll<P>([&](auto p) { sink.expect(out + p * out_pitch, out_pitch); });
  for (const ProductSource* source = rows.sources; source != rows.sources + rows.count; ++source) {
    const ptrdiff_t pitch = source->pitch;
    const float* a = source->values + rows.first * pitch;
    // What comes from far, unlike a strip in the first-level cache.
    if constexpr (kRelu) {
      for (int line = 0; line < source->channels; line += 16) unroll<P>([&](auto p) { prefetch(a + p * pitch + line, pitch); });
    }
    for (const float* const end = a + source->channels; a != end; ++a, b += V * kLanes) {
      Vector column[V];
      unroll<V>([&](auto v) { column[v] = in_register(load(b + v * kLanes)); });
      unroll<P>([&](auto p) {
        const Vector value = splat_of<kRelu>(a[p * pitch], zero);
        unroll<V>([&](auto v) { sum[p][v] += value * column[v]; });
      });
    }
  }
  if (columns_left >= V * kLanes) {
    unroll<P>([&](auto p) { unroll<V>([&](auto v) { sink.store_one(out + p * out_pitch + v * kLanes, sum[p][v]); }); });
  } else {
    unroll<P>([&](auto p) {
      unroll<V>([&](auto v) {
        if (columns_left > v * kLanes) {
          sink.store_part(out + p * out_pitch + v * kLanes, sum[p][v], columns_left - v * kLanes);
        }
      });
    });
  }
}

template <int V, bool kRelu, class Sink>
void product_of_pixels(int pixels, Rows rows, const float* b, float* out, int out_pitch, int columns_left, Sink sink) {
  const auto run = [&](auto count) {
    constexpr int P = decltype(count)::value;
    if constexpr (P <= kTogether<V, kRelu>) product_block<P, V, kRelu>(rows, b, out, out_pitch, columns_left, sink);
  };
  switch (pixels) {
    case 1: return run(Constant<1>{});
    case 2: return run(Constant<2>{});
    case 3: return run(Constant<3>{});
    case 4: return run(Constant<4>{});
    case 5: return run(Constant<5>{});
    case 6: return run(Constant<6>{});
    case 7: return run(Constant<7>{});
    case 8: return run(Constant<8>{});
  }
}

template <int V, bool kRelu, class Sink>
void product_column_block(Rows rows, int pixels, const float* b, float* out, PixelMap map, int columns_left, Sink sink) {
  constexpr int kPixels = kTogether<V, kRelu>;
  // Pixels that follow each other at equal distances are one row.
  const int width = map.row == map.width * map.pixel ? pixels : map.width;
  for (int first = 0; first < pixels; first += width, out += map.row) {
    const int end = smaller(width, pixels - first);
    for (int x = 0; x < end;) {
      const int left = end - x;
      // A last block of one or two pixels would wait for its own few accumulators: share out the last two blocks.
      const int count = left > kPixels && left < 2 * kPixels ? (left + 1) / 2 : smaller(left, kPixels);
      rows.first = first + x;
      product_of_pixels<V, kRelu>(count, rows, b, out + x * map.pixel, map.pixel, columns_left, sink);
      x += count;
    }
  }
}

// R channels of a x V vectors of b, summed over the pixels.
template <int R, int V, bool kRelu>
__attribute__((noinline)) void outer_block(const float* a_rows, int a_pitch, const float* b_rows, int b_pitch, PixelRows pixels,
                                           float* out, int out_pitch) {
  const Vector zero = in_register(Vector{});
  Vector sum[R][V] = {};
  for (int row = 0; row < pixels.rows; ++row, a_rows += pixels.a_row, b_rows += pixels.b_row) {
    const float *a = a_rows, *b = b_rows;
    for (int p = 0; p < pixels.width; ++p, a += a_pitch, b += b_pitch) {
      if constexpr (kRelu) prefetch(a, a_pitch);
      Vector column[V];
      unroll<V>([&](auto v) { column[v] = in_register(load(b + v * kLanes)); });
      unroll<R>([&](auto r) {
        const Vector value = splat_of<kRelu>(a[r], zero);
        unroll<V>([&](auto v) { sum[r][v] += value * column[v]; });
      });
    }
  }
  unroll<R>([&](auto r) {
    unroll<V>([&](auto v) {
      float* target = out + r * out_pitch + v * kLanes;
      store(target, load(target) + sum[r][v]);
    });
  });
}

template <int V, bool kRelu>
void outer_column_block(const float* a, int a_pitch, int a_channels, const float* b, int b_pitch, PixelRows pixels,
                        float* out, int out_pitch) {
  constexpr int kRows = kTogether<V, kRelu>;
  int row = 0;
  const auto run = [&](auto rows) {
    outer_block<decltype(rows)::value, V, kRelu>(a + row, a_pitch, b, b_pitch, pixels, out + row * out_pitch, out_pitch);
    row += decltype(rows)::value;
  };
  // 8 = 4 + 4 rather than 6 + 2: four rows still keep the multipliers busy, two do not.
  if constexpr (V == 2) {
    while (a_channels - row >= 6 && a_channels - row != 8) run(Constant<kRows>{});
  } else {
    while (a_channels - row >= kRows) run(Constant<kRows>{});
  }
  if constexpr (kRows >= 4) {
    while (a_channels - row >= 4) run(Constant<4>{});
  }
  while (a_channels - row >= 2) run(Constant<2>{});
  if (a_channels - row == 1) run(Constant<1>{});
}

void pack(const float* values, int depth, int columns, int depth_stride, int column_stride, float* to) {
  const int vectors = rounded_up(columns) / kLanes;
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

template <bool kRelu, class Sink>
void multiply_into(Rows rows, int pixels, Packed b, const ProductTarget& target, Sink sink) {
  for_blocks(rounded_up(b.columns) / kLanes, [&](int first, auto v) {
    const int column = first * kLanes;
    const float* block = b.data + static_cast<ptrdiff_t>(column) * b.depth;
    product_column_block<decltype(v)::value, kRelu>(rows, pixels, block, target.out + column, target.map, target.columns - column, sink);
  });
}

void multiply_rows(Rows rows, int pixels, Packed b, const ProductTarget& target) {
  const bool masked = target.positive != nullptr;
  if (!masked && !target.accumulate) return multiply_into<false>(rows, pixels, b, target, Plain{});
  const ptrdiff_t positive = masked ? target.positive - target.out : 0;
  if (!masked) return multiply_into<false>(rows, pixels, b, target, Gradient<false, true>{0});
  if (target.accumulate) return multiply_into<false>(rows, pixels, b, target, Gradient<true, true>{positive});
  multiply_into<false>(rows, pixels, b, target, Gradient<true, false>{positive});
}

template <bool kRelu>
void add_outer(ProductSource a, const float* b, int b_pitch, int b_padded, PixelRows pixels, float* sum) {
  for_blocks(b_padded / kLanes, [&](int first, auto v) {
    const int column = first * kLanes;
    outer_column_block<decltype(v)::value, kRelu>(a.values, a.pitch, a.channels, b + column, b_pitch, pixels, sum + column, b_padded);
  });
}

void multiply(const ProductSource* sources, int source_count, bool relu, int pixels, Packed b, const ProductTarget& target) {
  const Rows rows{sources, source_count, 0};
  if (relu) return multiply_into<true>(rows, pixels, b, target, Plain{});
  multiply_rows(rows, pixels, b, target);
}

void add_outer_products(ProductSource a, bool relu, const float* b, int b_pitch, int b_padded, PixelRows pixels, float* sum) {
  if (relu) return add_outer<true>(a, b, b_pitch, b_padded, pixels, sum);
  add_outer<false>(a, b, b_pitch, b_padded, pixels, sum);
}

}  // namespace

const ProductKernels kProducts{pack, multiply, add_outer_products};

}  // namespace ISTA_VECTOR_CODE
}  // namespace ista
