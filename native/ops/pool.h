// 3 x 3 pooling with padding 1 on one image whose channels are contiguous; forward and backward.
#pragma once

#include "depthwise.h"

namespace ista {

class Pool {
 public:
  Pool(Arena& arena, bool maximum, int stride, int height, int width, int channels);
  int out_height() const { return out_height_; }
  int out_width() const { return out_width_; }
  int pitch() const { return pitch_; }
  // out: [output pixels][pitch]. Averages count the pixels inside the image only.
  void forward(const float* image, float* out);
  // Gradient by the image in a plane of its own, valid until the next call. gradient: [output pixels][pitch]; pooled: what forward
  // wrote (for the maximum, whose gradient goes to the first of equal pixels).
  const Plane& backward(const float* image, const float* pooled, const float* gradient);

 private:
  void forward_row(const float* image, int y, float* out);
  Vector share(int y, int x) const;
  bool maximum_;
  int stride_, height_, width_, out_height_, out_width_, channels_, pitch_;
  Plane image_, gradient_;
  float* row_;  // one row of the image with a pixel of padding at both ends
};

}  // namespace ista
