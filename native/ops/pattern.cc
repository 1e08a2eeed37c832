// Names and limits of patterns, and the weights they take.
#include "pattern.h"

#include <ATen/core/List_inl.h>

namespace ista {
namespace {

struct KindName {
  Kind kind;
  const char* name;
};
constexpr KindName kKindNames[] = {
    {Kind::kIdentity, "identity"},   {Kind::kMaxPool, "max-pool"},
    {Kind::kAveragePool, "average-pool"}, {Kind::kSeparable, "separable"},
    {Kind::kFactorizedReduce, "factorized-reduce"}, {Kind::kDense, "dense"},
};

// Beyond any network, and far from where sizes in 32 bits end.
constexpr int64_t kLargest = 1 << 12;

const char* name_of(Kind kind) {
  for (const KindName& known : kKindNames) {
    if (known.kind == kind) return known.name;
  }
  return "";
}

}  // namespace

int64_t Pattern::convolution_count() const {
  switch (kind) {
    case Kind::kSeparable: return 2 * static_cast<int64_t>(stages);
    case Kind::kFactorizedReduce: return 2;
    case Kind::kDense: return 1;
    default: return 0;
  }
}

std::string Pattern::name() const {
  std::string text = name_of(kind);
  if (kind == Kind::kIdentity || kind == Kind::kFactorizedReduce) return text;
  text += " " + std::to_string(kernel) + "x" + std::to_string(kernel);
  return dilation == 1 ? text : text + " dilation " + std::to_string(dilation);
}

Pattern make_pattern(const std::string& kind, int64_t kernel, int64_t dilation, int64_t stride, int64_t stages) {
  const auto* known = std::find_if(std::begin(kKindNames), std::end(kKindNames), [&](const KindName& one) { return kind == one.name; });
  TORCH_CHECK(known != std::end(kKindNames), "ista::node: there is no kind of branch named ", kind.substr(0, 40),
              "; there are identity, max-pool, average-pool, separable, factorized-reduce and dense");
  for (const int64_t value : {kernel, dilation, stride, stages}) {
    TORCH_CHECK(value >= 1 && value <= kLargest, "ista::node: kernel, dilation, stride and stages of ", kind, " must be 1 to ",
                kLargest, ", got ", value);
  }
  const Pattern pattern{known->kind, static_cast<int>(kernel), static_cast<int>(dilation), static_cast<int>(stride),
                        static_cast<int>(stages)};
  const bool reduces = pattern.kind == Kind::kFactorizedReduce;
  const bool single = pattern.kind == Kind::kIdentity || reduces, convolves = pattern.convolution_count() > 0 && !reduces;
  TORCH_CHECK(!single || (kernel == 1 && stride == (reduces ? 2 : 1)), "ista::node: ", kind, " has kernel 1 and stride ",
              reduces ? 2 : 1, ", got ", kernel, " and ", stride);
  TORCH_CHECK(convolves || dilation == 1, "ista::node: ", kind, " has no dilation, got ", dilation);
  TORCH_CHECK(pattern.kind == Kind::kSeparable || stages == 1, "ista::node: ", kind, " has one stage, got ", stages);
  return pattern;
}

std::vector<Pattern> make_patterns(const c10::List<std::string>& kinds, at::IntArrayRef settings) {
  TORCH_CHECK(settings.size() == 4 * kinds.size(), "ista::node: every branch has 4 settings (kernel, dilation, stride, stages), got ",
              settings.size(), " for ", kinds.size(), " branches");
  std::vector<Pattern> patterns;
  for (size_t k = 0; k < kinds.size(); ++k) {
    const auto own = settings.slice(4 * k, 4);
    patterns.push_back(make_pattern(kinds.get(k), own[0], own[1], own[2], own[3]));
  }
  return patterns;
}

void check_weights(const Pattern& pattern, int64_t channels, at::TensorList convolutions) {
  const int64_t kernel = pattern.kernel;
  const auto check = [&](const at::Tensor& weight, const char* which, int64_t inputs, int64_t side) {
    TORCH_CHECK(weight.dim() == 4 && weight.numel() > 0 && weight.sizes() == at::IntArrayRef({weight.size(0), inputs, side, side}),
                "ista::node: ", which, "weights of ", pattern.name(), " must be [out, ", inputs, ", ", side, ", ", side, "], got ",
                weight.sizes());
  };
  switch (pattern.kind) {
    case Kind::kSeparable:
      for (size_t i = 0; i < convolutions.size(); i += 2) {
        check(convolutions[i], "depthwise ", 1, kernel);
        TORCH_CHECK(convolutions[i].size(0) == channels, "ista::node: depthwise weights of ", pattern.name(), " must be [", channels,
                    ", 1, ", kernel, ", ", kernel, "], got ", convolutions[i].sizes());
        check(convolutions[i + 1], "pointwise ", channels, 1);
        channels = convolutions[i + 1].size(0);
      }
      return;
    case Kind::kFactorizedReduce:
      for (const at::Tensor& weight : convolutions) check(weight, "", channels, 1);
      return;
    case Kind::kDense: return check(convolutions[0], "", channels, kernel);
    default: return;
  }
}

}  // namespace ista
