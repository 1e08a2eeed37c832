// Depthwise filters: a few neighbouring output pixels of one channel vector are kept in registers while the kernel's rows pass by.
#include "tables.h"
#include "vector.h"

namespace ista {
namespace ISTA_VECTOR_CODE {
namespace {

constexpr int kMaxKernel = 7;

// T outputs from x = 0 on; rows[i]: the pixel under the kernel's left end for output 0, or null where the row lies outside.
template <int K, int D, int S, int T>
__attribute__((always_inline)) inline void filter_pixels(const float* const* rows, ptrdiff_t offset, const float* weights,
                                                         int pitch, float* out) {
  Vector sum[T] = {};
  for (int i = 0; i < K; ++i) {
    if (rows[i] == nullptr) continue;
    const float* input = rows[i] + offset;
    const float* row_weights = weights + i * K * pitch;
    Vector weight[K];
    unroll<K>([&](auto j) { weight[j] = in_register(load(row_weights + j * pitch)); });
    unroll<(T - 1) * S + (K - 1) * D + 1>([&](auto q) {
      const Vector value = in_register(load(input + q * pitch));
      unroll<K>([&](auto j) {
        constexpr int distance = decltype(q)::value - decltype(j)::value * D;
        if constexpr (distance >= 0 && distance % S == 0 && distance / S < T) sum[distance / S] += value * weight[j];
      });
    });
  }
  unroll<T>([&](auto t) { store(out + t * pitch, sum[t]); });
}

template <int K, int D, int S>
void filter_row(const float* const* rows, const float* weights, int pitch, float* out, int width) {
  for (int channel = 0; channel < pitch; channel += kLanes) {
    int x = 0;
    const auto run = [&](auto count) {
      constexpr int T = decltype(count)::value;
      filter_pixels<K, D, S, T>(rows, static_cast<ptrdiff_t>(x) * S * pitch + channel, weights + channel, pitch,
                                out + x * pitch + channel);
      x += T;
    };
    while (width - x >= 8) run(Constant<8>{});
    if (width - x >= 4) run(Constant<4>{});
    if (width - x >= 2) run(Constant<2>{});
    if (width - x >= 1) run(Constant<1>{});
  }
}

using RowFunction = void (*)(const float* const*, const float*, int, float*, int);

template <int K>
RowFunction row_function_of_kernel(int dilation, int stride) {
  if (dilation == 1) return stride == 1 ? filter_row<K, 1, 1> : filter_row<K, 1, 2>;
  return stride == 1 ? filter_row<K, 2, 1> : filter_row<K, 2, 2>;
}

RowFunction row_function(int kernel, int dilation, int stride) {
  if (kernel == 3) return row_function_of_kernel<3>(dilation, stride);
  if (kernel == 5) return row_function_of_kernel<5>(dilation, stride);
  return row_function_of_kernel<7>(dilation, stride);
}

// Weight gradient of R kernel rows at once (they share the loaded gradients) for one channel vector.
template <int K, int D, int R>
void weight_gradient_rows(Filter filter, const Plane& input, const Plane& gradient, const float* zero_row,
                          int first_row, int channel, float* sums) {
  Vector sum[R][K] = {};
  const int padding = filter.padding(), stride = filter.stride, pitch = input.pitch;
  const int rows = filter.output_size(input.height), width = filter.output_size(input.width);
  for (int y = 0; y < rows; ++y) {
    const float* values[R];
    bool any = false;
    for (int r = 0; r < R; ++r) {
      const int source = y * stride - padding + (first_row + r) * D;
      const bool inside = source >= 0 && source < input.height;
      any = any || inside;
      values[r] = (inside ? input.row(source) - padding * pitch : zero_row) + channel;
    }
    if (!any) continue;
    const float* differences = gradient.row(y * stride) + channel;
    const auto run = [&](int x, auto count) {
      constexpr int T = decltype(count)::value;
      Vector difference[T];
      unroll<T>([&](auto t) { difference[t] = in_register(load(differences + (x + t) * pitch)); });
      unroll<R>([&](auto r) {
        const float* value_row = values[r] + static_cast<ptrdiff_t>(x) * pitch;
        unroll<T - 1 + (K - 1) * D + 1>([&](auto q) {
          const Vector value = in_register(load(value_row + q * pitch));
          unroll<K>([&](auto j) {
            constexpr int t = decltype(q)::value - decltype(j)::value * D;
            if constexpr (t >= 0 && t < T) sum[r][j] += value * difference[t];
          });
        });
      });
    };
    if (stride == 1) {
      int x = 0;
      for (; x + 4 <= width; x += 4) run(x, Constant<4>{});
      for (; x < width; ++x) run(x, Constant<1>{});
    } else {
      for (int x = 0; x < width; ++x) run(x * stride, Constant<1>{});
    }
  }
  unroll<R>([&](auto r) {
    unroll<K>([&](auto j) {
      float* target = sums + ((first_row + r) * K + j) * pitch + channel;
      store(target, load(target) + sum[r][j]);
    });
  });
}

template <int K, int D>
void weight_gradient(Filter filter, const Plane& input, const Plane& gradient, const float* zero_row, float* sums) {
  for (int channel = 0; channel < input.pitch; channel += kLanes) {
    if constexpr (K == 3) {
      weight_gradient_rows<K, D, 3>(filter, input, gradient, zero_row, 0, channel, sums);
    } else {
      int row = 0;
      for (; row + 2 <= K; row += 2) weight_gradient_rows<K, D, 2>(filter, input, gradient, zero_row, row, channel, sums);
      weight_gradient_rows<K, D, 1>(filter, input, gradient, zero_row, row, channel, sums);
    }
  }
}

void output_row(Filter filter, const Plane& input, const float* weights, int y, float* out, int width) {
  const float* rows[kMaxKernel];
  for (int i = 0; i < filter.kernel; ++i) {
    const int source = y * filter.stride - filter.padding() + i * filter.dilation;
    rows[i] = source >= 0 && source < input.height ? input.row(source) - filter.padding() * input.pitch : nullptr;
  }
  row_function(filter.kernel, filter.dilation, filter.stride)(rows, weights, input.pitch, out, width);
}

void gradient_row(Filter filter, const Plane& gradient, const float* turned_weights, int y, float* out) {
  const float* rows[kMaxKernel];
  for (int i = 0; i < filter.kernel; ++i) {
    const int source = y - filter.padding() + i * filter.dilation;
    // With a stride, the rows between those of the output hold only zeros.
    const bool inside = source >= 0 && source < gradient.height && source % filter.stride == 0;
    rows[i] = inside ? gradient.row(source) - filter.padding() * gradient.pitch : nullptr;
  }
  row_function(filter.kernel, filter.dilation, 1)(rows, turned_weights, gradient.pitch, out, gradient.width);
}

void add_weight_gradient(Filter filter, const Plane& input, const Plane& gradient, const float* zero_row, float* sums) {
  const auto run = [&](auto kernel) {
    constexpr int K = decltype(kernel)::value;
    if (filter.dilation == 1) {
      weight_gradient<K, 1>(filter, input, gradient, zero_row, sums);
    } else {
      weight_gradient<K, 2>(filter, input, gradient, zero_row, sums);
    }
  };
  if (filter.kernel == 3) return run(Constant<3>{});
  if (filter.kernel == 5) return run(Constant<5>{});
  run(Constant<7>{});
}

}  // namespace

const DepthwiseKernels kDepthwise{output_row, gradient_row, add_weight_gradient};

}  // namespace ISTA_VECTOR_CODE
}  // namespace ista
