// Processes that compute one run together: sums over all of them, and what one says to the others.
//
// On libtorch's c10d with gloo. Where libtorch was built without, or gloo's headers are missing, everything here says so.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "../ops/shared_sums.h"

namespace ista {

struct GroupPlace {
  int rank, size;
  /** Where the process with rank 0 listens. */
  std::string address;
  int port;
  /** For every connection, and everything that is exchanged. */
  std::chrono::milliseconds timeout;
};

/** What a group has exchanged so far. */
struct GroupFigures {
  /** Of tensors and values that were summed or sent, before they are split among processes. */
  double bytes = 0;
  /** Seconds in which this process did nothing but wait for sums. */
  double waited = 0;
  /** Seconds from the beginning of each sum to its end; several may go on at once. */
  double busy = 0;
};

/** What is summed besides, in place. */
struct Aside {
  double* values;
  size_t count;
  /** Each becomes the mean of those of all processes, in which this one's counts by `weight`. */
  std::vector<at::Tensor> averaged;
  double weight;
};

class ProcessGroup {
 public:
  /** Whether this addon was built with c10d and gloo. */
  static bool is_available();
  /**
   * Waits until all processes have come.
   * @param facts of this process, for the others
   * @throws std::runtime_error naming who has not come, or what cannot be connected
   */
  static std::shared_ptr<ProcessGroup> join(const GroupPlace& place, const std::string& facts);

  virtual ~ProcessGroup() = default;
  /** What every process has said of itself, by rank. */
  virtual const std::vector<std::string>& facts() const = 0;
  /** Every value becomes its sum over all processes. @throws std::runtime_error where one is lost, or silent for too long */
  virtual void add_up(double* values, size_t count) = 0;
  /** The bytes of the process with rank 0. */
  virtual void take_over(void* bytes, size_t count) = 0;
  /** Sums of tensors; undefined ones stay. */
  virtual std::vector<at::Tensor> sums(const std::vector<at::Tensor>& tensors, const Aside& aside) = 0;
  /** The sums of the gradients of a loss, each on its way as soon as it is known. */
  virtual std::vector<at::Tensor> gradient_sums(const at::Tensor& loss, const std::vector<at::Tensor>& inputs,
                                                const Aside& aside) = 0;
  virtual GroupFigures figures() const = 0;
};

}  // namespace ista
