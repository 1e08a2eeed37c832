// Processes that compute one run together, on libtorch's c10d with gloo.
#include "process_group.h"

#include <stdexcept>

#ifdef USE_C10D_GLOO

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <cstring>

#include "rendezvous.h"

namespace ista {
namespace {

using at::Tensor;
using Clock = std::chrono::steady_clock;
using Work = c10::intrusive_ptr<c10d::Work>;

// A sum begins when so many bytes are there: few enough that most of them travel while the backward pass goes on.
constexpr size_t kBucketBytes = 4 << 20;
// The threads in which gloo adds up; two, so that one sum can be sent while the next is received.
constexpr int kThreads = 2;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// A sum of tensors that lie in one block.
struct Bucket {
  std::vector<size_t> members;
  size_t missing = 0;
  Tensor block;
  Work work;
  Clock::time_point begun;
};

class GlooGroup : public ProcessGroup {
 public:
  GlooGroup(const GroupPlace& place, const std::string& facts) {
    const std::string own_key = "facts/" + std::to_string(place.rank);
    if (place.rank == 0) server_ = std::make_unique<RendezvousServer>(place.address, place.port);
    const auto store = c10::make_intrusive<RendezvousStore>(place.address, place.port, place.timeout);
    store->set(own_key, {facts.begin(), facts.end()});
    for (int rank = 0; rank < place.size; ++rank) {
      try {
        const std::vector<uint8_t> said = store->get("facts/" + std::to_string(rank));
        facts_.emplace_back(said.begin(), said.end());
      } catch (const std::exception&) {
        throw std::runtime_error("the process with rank " + std::to_string(rank) + " of " + std::to_string(place.size) +
                                 " has not come within " + std::to_string(place.timeout.count() / 1000) + " s");
      }
    }
    const auto options = c10d::ProcessGroupGloo::Options::create();
    options->timeout = place.timeout;
    options->threads = kThreads;
    // The address by which this machine reaches the first one, and no other.
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(store->own_address()));
    group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store, place.rank, place.size, options);
    double nothing = 0;
    add_up(&nothing, 1);
    store->close();
    server_.reset();
  }

  ~GlooGroup() override {
    // What is still on its way to a process that is gone would be waited for.
    if (is_lost_) (void)group_.release();
  }

  const std::vector<std::string>& facts() const override { return facts_; }

  void add_up(double* values, size_t count) override { finish_values(begin_values(values, count), values); }

  void take_over(void* bytes, size_t count) override {
    std::vector<Tensor> block{at::from_blob(bytes, {static_cast<int64_t>(count)}, at::kByte).clone()};
    guarded([&] {
      figures_.bytes += static_cast<double>(count);
      const auto begun = Clock::now();
      group_->broadcast(block)->wait();
      figures_.waited += seconds_since(begun);
    });
    std::memcpy(bytes, block[0].data_ptr(), count);
  }

  std::vector<Tensor> sums(const std::vector<Tensor>& tensors, const Aside& aside) override {
    const AsideWork beside = begin_aside(aside);
    std::vector<Bucket> buckets = buckets_of(tensors);
    std::vector<Tensor> result(tensors);
    for (Bucket& bucket : buckets) begin_bucket(bucket, result);
    finish_aside(beside, aside);
    return finish_all(buckets, std::move(result));
  }

  std::vector<Tensor> gradient_sums(const Tensor& loss, const std::vector<Tensor>& inputs, const Aside& aside) override {
    const AsideWork beside = begin_aside(aside);
    // Gradients come in about the opposite order of the parameters: the last layer's first.
    std::vector<Bucket> buckets = buckets_of(inputs);
    std::vector<size_t> bucket_of(inputs.size());
    for (size_t b = 0; b < buckets.size(); ++b)
      for (size_t member : buckets[b].members) bucket_of[member] = b;
    std::vector<Tensor> gradients(inputs.size());
    // Those that accumulate gradients tell when each is there, as in libtorch's own DistributedDataParallel.
    std::vector<std::pair<std::shared_ptr<torch::autograd::Node>, uintptr_t>> hooks;
    const auto remove_hooks = [&] {
      for (auto& [node, key] : hooks) node->del_post_hook(key);
      for (const Tensor& input : inputs) input.mutable_grad() = Tensor();
    };
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto node = torch::autograd::impl::grad_accumulator(inputs[i]);
      if (!node) throw std::invalid_argument("gradients of processes: expected leaves that require gradients");
      const auto arrived = [&, i](const torch::autograd::variable_list& outputs, const torch::autograd::variable_list&) {
        gradients[i] = inputs[i].grad();
        Bucket& bucket = buckets[bucket_of[i]];
        if (--bucket.missing == 0) begin_bucket(bucket, gradients);
        return outputs;
      };
      hooks.emplace_back(node, node->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(arrived)));
    }
    try {
      torch::autograd::backward({loss}, {}, false, false, inputs);
    } catch (...) {
      // Sums may be on their way.
      is_lost_ = true;
      remove_hooks();
      throw;
    }
    remove_hooks();
    // Those of which a parameter has no gradient: on all processes the same ones, as all have the same graph.
    for (Bucket& bucket : buckets)
      if (bucket.missing > 0) begin_bucket(bucket, gradients);
    finish_aside(beside, aside);
    return finish_all(buckets, std::move(gradients));
  }

  GroupFigures figures() const override { return figures_; }

 private:
  // Whatever goes wrong here, the others may be at another place: nothing can be exchanged any more.
  template <typename Body>
  void guarded(const Body& body) {
    if (is_lost_) throw std::runtime_error("the processes have lost each other before");
    try {
      body();
    } catch (...) {
      is_lost_ = true;
      throw;
    }
  }

  void begin(Bucket& bucket) {
    guarded([&] {
      figures_.bytes += static_cast<double>(bucket.block.nbytes());
      std::vector<Tensor> blocks{bucket.block};
      bucket.begun = Clock::now();
      bucket.work = group_->allreduce(blocks);
    });
  }

  void finish(const Bucket& bucket) {
    if (!bucket.work) return;
    guarded([&] {
      const auto begun = Clock::now();
      bucket.work->wait();
      figures_.waited += seconds_since(begun);
      figures_.busy += seconds_since(bucket.begun);
    });
  }

  // In a copy: should this fail, gloo may write into it at any time.
  Bucket begin_values(double* values, size_t count) {
    Bucket bucket;
    if (count == 0) return bucket;
    bucket.block = at::from_blob(values, {static_cast<int64_t>(count)}, at::kDouble).clone();
    begin(bucket);
    return bucket;
  }

  void finish_values(const Bucket& bucket, double* values) {
    finish(bucket);
    if (bucket.block.defined()) std::memcpy(values, bucket.block.data_ptr(), bucket.block.nbytes());
  }

  struct AsideWork {
    Bucket values, averaged;
  };

  AsideWork begin_aside(const Aside& aside) {
    const at::NoGradGuard no_gradients;
    AsideWork work{begin_values(aside.values, aside.count), {}};
    if (aside.averaged.empty()) return work;
    std::vector<Tensor> parts;
    for (const Tensor& tensor : aside.averaged) parts.push_back(tensor.reshape({-1}));
    work.averaged.block = at::cat(parts).mul_(aside.weight);
    begin(work.averaged);
    return work;
  }

  void finish_aside(const AsideWork& work, const Aside& aside) {
    const at::NoGradGuard no_gradients;
    finish_values(work.values, aside.values);
    finish(work.averaged);
    int64_t offset = 0;
    for (const Tensor& tensor : aside.averaged) {
      tensor.copy_(work.averaged.block.narrow(0, offset, tensor.numel()).view(tensor.sizes()));
      offset += tensor.numel();
    }
  }

  // From the last tensor to the first.
  static std::vector<Bucket> buckets_of(const std::vector<Tensor>& tensors) {
    std::vector<Bucket> buckets;
    size_t bytes = kBucketBytes;
    for (size_t i = tensors.size(); i-- > 0;) {
      if (!tensors[i].defined()) continue;
      if (bytes >= kBucketBytes) {
        buckets.emplace_back();
        bytes = 0;
      }
      buckets.back().members.push_back(i);
      buckets.back().missing += 1;
      bytes += tensors[i].nbytes();
    }
    return buckets;
  }

  void begin_bucket(Bucket& bucket, const std::vector<Tensor>& tensors) {
    const at::NoGradGuard no_gradients;
    bucket.missing = 0;
    std::vector<Tensor> parts;
    for (size_t member : bucket.members)
      if (tensors[member].defined()) parts.push_back(tensors[member].detach().reshape({-1}));
    if (parts.empty()) return;
    bucket.block = at::cat(parts);
    begin(bucket);
  }

  std::vector<Tensor> finish_all(std::vector<Bucket>& buckets, std::vector<Tensor> tensors) {
    const at::NoGradGuard no_gradients;
    for (const Bucket& bucket : buckets) {
      finish(bucket);
      int64_t offset = 0;
      for (size_t member : bucket.members) {
        Tensor& tensor = tensors[member];
        if (!tensor.defined()) continue;
        const int64_t count = tensor.numel();
        tensor = bucket.block.narrow(0, offset, count).view(tensor.sizes());
        offset += count;
      }
    }
    return tensors;
  }

  std::unique_ptr<RendezvousServer> server_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
  std::vector<std::string> facts_;
  GroupFigures figures_;
  bool is_lost_ = false;
};

}  // namespace

bool ProcessGroup::is_available() { return true; }

std::shared_ptr<ProcessGroup> ProcessGroup::join(const GroupPlace& place, const std::string& facts) {
  return std::make_shared<GlooGroup>(place, facts);
}

}  // namespace ista

#else

namespace ista {

bool ProcessGroup::is_available() { return false; }

std::shared_ptr<ProcessGroup> ProcessGroup::join(const GroupPlace&, const std::string&) {
  throw std::runtime_error("this addon was built without gloo");
}

}  // namespace ista

#endif
