// SGD over all parameters in two passes: the gradients' norm, then clipping, weight decay, momentum and update at once.
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "fused.h"
#include "profile.h"

namespace ista {
namespace fused {
namespace {

// Work is split at fixed places, so that the norm does not depend on the number of threads.
constexpr int64_t kPiece = 16384;

struct Piece {
  size_t tensor;
  int64_t begin, end;
};

std::vector<Piece> pieces_of(TensorList tensors) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < tensors.size(); ++i) {
    for (int64_t begin = 0; begin < tensors[i].numel(); begin += kPiece) {
      pieces.push_back({i, begin, std::min(tensors[i].numel(), begin + kPiece)});
    }
  }
  return pieces;
}

}  // namespace

double sgd_step(TensorList parameters, TensorList gradients, TensorList momenta, double learning_rate, double momentum,
                double weight_decay, double max_norm, bool nesterov) {
  at::NoGradGuard no_grad;
  std::vector<Tensor> dense_gradients;
  for (const Tensor& gradient : gradients) dense_gradients.push_back(gradient.contiguous());
  const std::vector<Piece> pieces = pieces_of(parameters);
  const ProfileScope profile("sgd step");
  const VectorCode& code = vector_code();
  std::vector<double> squares(pieces.size());
  for_ranges(pieces.size(), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const Piece& piece = pieces[i];
      const float* gradient = dense_gradients[piece.tensor].data_ptr<float>();
      squares[i] = code.arrays.sum_of_squares(gradient + piece.begin, piece.end - piece.begin);
    }
  });
  double total = 0;
  for (const double square : squares) total += square;
  total = std::sqrt(total);
  if (!std::isfinite(total)) return total;  // nothing of a diverged step may reach the parameters
  // The small constant is the one of torch.nn.utils.clip_grad_norm_.
  const float clip = static_cast<float>(max_norm > 0 ? std::min(1.0, max_norm / (total + 1e-6)) : 1.0);
  const SgdFactors factors{clip, static_cast<float>(weight_decay), static_cast<float>(learning_rate), static_cast<float>(momentum),
                           nesterov};
  for_ranges(pieces.size(), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const Piece& piece = pieces[i];
      code.arrays.sgd(parameters[piece.tensor].data_ptr<float>() + piece.begin, momenta[piece.tensor].data_ptr<float>() + piece.begin,
                      dense_gradients[piece.tensor].data_ptr<float>() + piece.begin, piece.end - piece.begin, factors);
    }
  });
  for (size_t i = 0; i < parameters.size(); ++i) {
    parameters[i].unsafeGetTensorImpl()->bump_version();
    momenta[i].unsafeGetTensorImpl()->bump_version();
  }
  return total;
}

}  // namespace fused
}  // namespace ista
