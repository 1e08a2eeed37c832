// What JavaScript sees of processes that compute one run together.
#include "binding.h"

#include <cstring>
#include <functional>

#include "../convert.h"
#include "process_group.h"

namespace ista {
namespace {

/** A group and the tensors of a JavaScript environment. */
struct Processes {
  TensorTable& tensors;
  std::shared_ptr<ProcessGroup> group;

  ProcessGroup& joined() const {
    if (!group) throw HandleError("ENGINE_ARGUMENT", "processes: expected to have joined a group");
    return *group;
  }
};

/** Of the statistics of batch norms that are those of the whole batch. */
class GroupSums : public SharedSums {
 public:
  explicit GroupSums(std::shared_ptr<ProcessGroup> group) : group_(std::move(group)) {}
  void add_up(double* values, size_t count) override { group_->add_up(values, count); }

 private:
  std::shared_ptr<ProcessGroup> group_;
};

std::string plain(const std::string& message) {
  const std::string first = message.substr(0, message.find("\nException raised from"));
  // gloo begins with the line of its source.
  const size_t place = first.find("] ");
  return first.rfind('[', 0) == 0 && place != std::string::npos ? first.substr(place + 2) : first;
}

[[noreturn]] void throw_js(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  throw error;
}

using Body = std::function<Napi::Value(const Napi::CallbackInfo&, Processes&)>;

/** A function whose C++ exceptions become JavaScript ones: all but wrong arguments and missing memory are of lost processes. */
Napi::Function guarded(Napi::Env env, const char* name, const std::shared_ptr<Processes>& processes, const Body& body) {
  return Napi::Function::New(
      env,
      [processes, body](const Napi::CallbackInfo& info) -> Napi::Value {
        try {
          return body(info, *processes);
        } catch (const HandleError& error) {
          throw_js(info.Env(), error.code, error.what());
        } catch (const Napi::Error&) {
          throw;
        } catch (const std::bad_alloc&) {
          throw_js(info.Env(), "ENGINE_OUT_OF_MEMORY", "processes: out of memory");
        } catch (const std::exception& error) {
          throw_js(info.Env(), "PROCESSES_LOST", plain(error.what()));
        }
      },
      name);
}

/** Joins beside the JavaScript thread, which goes on to receive signals. */
class Joining : public Napi::AsyncWorker {
 public:
  Joining(Napi::Env env, std::shared_ptr<Processes> processes, GroupPlace place, std::string facts)
      : AsyncWorker(env), deferred_(env), processes_(std::move(processes)), place_(std::move(place)), facts_(std::move(facts)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      group_ = ProcessGroup::join(place_, facts_);
    } catch (const std::exception& error) {
      SetError(plain(error.what()));
    }
  }
  void OnOK() override {
    processes_->group = group_;
    Napi::Array facts = Napi::Array::New(Env());
    for (const std::string& one : group_->facts()) facts.Set(facts.Length(), Napi::String::New(Env(), one));
    deferred_.Resolve(facts);
  }
  void OnError(const Napi::Error& error) override {
    error.Value().As<Napi::Object>().Set("code", Napi::String::New(Env(), "PROCESSES_LOST"));
    deferred_.Reject(error.Value());
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::shared_ptr<Processes> processes_;
  GroupPlace place_;
  std::string facts_;
  std::shared_ptr<ProcessGroup> group_;
};

int64_t number_of(const Napi::Value& value, int64_t least, int64_t most) {
  const int64_t number = to_int64(value);
  if (number < least || number > most)
    throw HandleError("ENGINE_ARGUMENT", "processes: expected " + std::to_string(least) + " to " + std::to_string(most) + ", got " +
                                             std::to_string(number));
  return number;
}

std::string text_of(const Napi::Value& value) {
  if (!value.IsString()) throw HandleError("ENGINE_ARGUMENT", "processes: expected a text");
  return value.As<Napi::String>().Utf8Value();
}

Napi::Float64Array numbers_of(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array)
    throw HandleError("ENGINE_ARGUMENT", "processes: expected a Float64Array");
  return value.As<Napi::Float64Array>();
}

/** Of an array of handles, null for none. */
std::vector<at::Tensor> tensors_of(const TensorTable& table, const Napi::Value& value) {
  if (!value.IsArray()) throw HandleError("ENGINE_ARGUMENT", "processes: expected an array of tensors");
  const auto handles = value.As<Napi::Array>();
  std::vector<at::Tensor> tensors;
  for (uint32_t i = 0; i < handles.Length(); ++i) {
    const Napi::Value handle = handles.Get(i);
    if (!handle.IsNumber() && !handle.IsNull()) throw HandleError("ENGINE_ARGUMENT", "processes: expected an array of tensors");
    tensors.push_back(handle.IsNull() ? at::Tensor() : table.get(handle.As<Napi::Number>().DoubleValue()));
    if (tensors.back().defined() && !(tensors.back().device().is_cpu() && tensors.back().scalar_type() == at::kFloat))
      throw HandleError("ENGINE_ARGUMENT", "processes: expected float32 on the CPU, got " + describe(tensors.back()));
  }
  return tensors;
}

Napi::Array handles_of(Napi::Env env, TensorTable& table, const std::vector<at::Tensor>& tensors) {
  Napi::Array handles = Napi::Array::New(env, tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) handles.Set(static_cast<uint32_t>(i), from_ivalue(env, table, tensors[i]));
  return handles;
}

/** join(rank, size, address, port, timeout in milliseconds, facts) -> promise of the facts of all. */
Napi::Value join(const Napi::CallbackInfo& info, const std::shared_ptr<Processes>& processes) {
  const int64_t size = number_of(info[1], 1, 1 << 20);
  GroupPlace place{static_cast<int>(number_of(info[0], 0, size - 1)), static_cast<int>(size), text_of(info[2]),
                   static_cast<int>(number_of(info[3], 1, 65535)), std::chrono::milliseconds(number_of(info[4], 1, 1LL << 40))};
  auto* joining = new Joining(info.Env(), processes, std::move(place), text_of(info[5]));
  const Napi::Promise promise = joining->promise();
  joining->Queue();
  return promise;
}

/** leave(): all is exchanged. */
Napi::Value leave(const Napi::CallbackInfo& info, Processes& processes) {
  shared_sums().reset();
  processes.group.reset();
  return info.Env().Undefined();
}

/** addUp(Float64Array): sums over all processes, in place. */
Napi::Value add_up(const Napi::CallbackInfo& info, Processes& processes) {
  auto values = numbers_of(info[0]);
  processes.joined().add_up(values.Data(), values.ElementLength());
  return info.Env().Undefined();
}

/** takeOver(Uint8Array): the bytes of the process with rank 0, in place. */
Napi::Value take_over(const Napi::CallbackInfo& info, Processes& processes) {
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw HandleError("ENGINE_ARGUMENT", "processes: expected a Uint8Array");
  auto bytes = info[0].As<Napi::Uint8Array>();
  processes.joined().take_over(bytes.Data(), bytes.ElementLength());
  return info.Env().Undefined();
}

/** What is summed besides, from three arguments: Float64Array, tensors without null, weight. */
Aside aside_of(const Napi::CallbackInfo& info, size_t first, const TensorTable& table) {
  auto values = numbers_of(info[first]);
  Aside aside{values.Data(), values.ElementLength(), tensors_of(table, info[first + 1]), 0};
  for (const at::Tensor& tensor : aside.averaged)
    if (!tensor.defined()) throw HandleError("ENGINE_ARGUMENT", "processes: expected tensors to average, got null");
  if (!info[first + 2].IsNumber()) throw HandleError("ENGINE_ARGUMENT", "processes: expected a weight");
  aside.weight = info[first + 2].As<Napi::Number>().DoubleValue();
  return aside;
}

/** sums(tensors, Float64Array, averaged, weight) -> tensors; values and averaged tensors in place. */
Napi::Value sums(const Napi::CallbackInfo& info, Processes& processes) {
  const auto tensors = tensors_of(processes.tensors, info[0]);
  const Aside aside = aside_of(info, 1, processes.tensors);
  return handles_of(info.Env(), processes.tensors, processes.joined().sums(tensors, aside));
}

/** gradientSums(loss, inputs, Float64Array, averaged, weight) -> handle or null per input; the rest in place. */
Napi::Value gradient_sums(const Napi::CallbackInfo& info, Processes& processes) {
  if (!info[0].IsNumber()) throw HandleError("ENGINE_ARGUMENT", "processes: expected a tensor");
  const at::Tensor loss = processes.tensors.get(info[0].As<Napi::Number>().DoubleValue());
  const auto inputs = tensors_of(processes.tensors, info[1]);
  for (const at::Tensor& input : inputs)
    if (!input.defined()) throw HandleError("ENGINE_ARGUMENT", "processes: expected inputs, got null");
  const Aside aside = aside_of(info, 2, processes.tensors);
  return handles_of(info.Env(), processes.tensors, processes.joined().gradient_sums(loss, inputs, aside));
}

/** shareNorms(boolean): whether batch norms have the statistics of all processes' images, in this thread. */
Napi::Value share_norms(const Napi::CallbackInfo& info, Processes& processes) {
  if (!info[0].IsBoolean()) throw HandleError("ENGINE_ARGUMENT", "processes: expected a boolean");
  shared_sums().reset();
  if (info[0].As<Napi::Boolean>().Value()) {
    processes.joined();
    shared_sums() = std::make_shared<GroupSums>(processes.group);
  }
  return info.Env().Undefined();
}

/** figures() -> { bytes, waitedSeconds, busySeconds } */
Napi::Value figures(const Napi::CallbackInfo& info, Processes& processes) {
  const GroupFigures found = processes.joined().figures();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("bytes", found.bytes);
  result.Set("waitedSeconds", found.waited);
  result.Set("busySeconds", found.busy);
  return result;
}

}  // namespace

Napi::Object process_functions(Napi::Env env, TensorTable& tensors) {
  const auto processes = std::shared_ptr<Processes>(new Processes{tensors, nullptr});
  Napi::Object result = Napi::Object::New(env);
  const auto add = [&](const char* name, const Body& body) { result.Set(name, guarded(env, name, processes, body)); };
  result.Set("available", ProcessGroup::is_available());
  add("join", [processes](const Napi::CallbackInfo& info, Processes&) { return join(info, processes); });
  add("leave", leave);
  add("addUp", add_up);
  add("takeOver", take_over);
  add("sums", sums);
  add("gradientSums", gradient_sums);
  add("shareNorms", share_norms);
  add("figures", figures);
  return result;
}

}  // namespace ista
