// 3 x 3 pooling with padding 1 on one image whose channels are contiguous; forward and backward.
#pragma once

#include "planes.h"

namespace ista {

class Pool {
 public:
  // `backward`: whether that will be called too.
  Pool(Arena& arena, bool maximum, int stride, int height, int width, int channels, bool backward);
  int pitch() const { return plan_.pitch; }
  // As PoolKernels.
  void forward(const float* image, float* out) { vector_code().pools.forward(plan_, image, out); }
  void backward(const float* image, const float* pooled, const float* gradient, bool accumulate, float* input_gradient) {
    vector_code().pools.backward(plan_, image, pooled, gradient, accumulate, input_gradient);
  }

 private:
  PoolPlan plan_{};
};

}  // namespace ista
