// 3 x 3 pooling with padding 1 on one image whose channels are contiguous; forward and backward.
#pragma once

#include "depthwise.h"

namespace ista {

class Pool {
 public:
  // `backward`: whether that will be called too.
  Pool(Arena& arena, bool maximum, int stride, int height, int width, int channels, bool backward);
  int pitch() const { return pitch_; }
  // out: [output pixels][pitch]. Averages count the pixels inside the image only.
  void forward(const float* image, float* out);
  // input_gradient (+)= the gradient by the image. gradient: [output pixels][pitch]; pooled: what forward wrote (for the maximum, whose
  // gradient goes to the first of equal pixels).
  void backward(const float* image, const float* pooled, const float* gradient, bool accumulate, float* input_gradient);

 private:
  // Row y of the output, in `columns_`: the three rows of the image under it joined, one pixel of padding at either end.
  template <bool maximum>
  void join_rows(const float* image, int y);
  template <bool maximum>
  void forward_row(const float* image, int y, float* out);
  // One over the number of pixels under the window, for every pixel of output row y.
  void set_shares(int y);
  // Of every window, the place (row * 3 + column) of its maximum, at the window's centre in `places_`.
  void find_places(const float* image, const float* pooled);
  // Gradients by the outputs at the centres of their windows, those of averages divided among the pixels.
  void spread(const float* gradient);
  void maximum_gradient_row(int y);
  void average_gradient_row(int y);
  bool maximum_;
  int stride_, height_, width_, out_height_, out_width_, channels_, pitch_;
  Plane image_{}, spread_{}, places_{};
  float *columns_ = nullptr, *shares_ = nullptr, *row_ = nullptr;
  float *outside_ = nullptr, *zeros_ = nullptr;  // rows beyond the image: what never wins, no gradient
};

}  // namespace ista
