// The Node-API face of libtorch: a generic operator call, autograd, data in and out, scopes.
//
// All state belongs to one JavaScript environment (main thread or worker), none is static.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>
#include <dlfcn.h>
#include <napi.h>
#include <torch/csrc/api/include/torch/version.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstring>
#include <limits>

#include "convert.h"
#include "ops/vector_code.h"
#include "processes/binding.h"
#include "tensor_table.h"

namespace ista {
namespace {

struct State {
  TensorTable tensors;
  std::vector<c10::OperatorHandle> operators;
};

State& state(const Napi::CallbackInfo& info) { return *info.Env().GetInstanceData<State>(); }

const at::Tensor& tensor_argument(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsNumber()) throw HandleError("ENGINE_ARGUMENT", "expected a tensor");
  return state(info).tensors.get(info[index].As<Napi::Number>().DoubleValue());
}

[[noreturn]] void throw_js(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  throw error;
}

/** The message of a libtorch exception without its C++ backtrace. */
std::string first_lines(const std::string& message) {
  const size_t end = message.find("\nException raised from");
  return message.substr(0, end);
}

const char* code_of(const std::string& message) {
  for (const char* sign : {"can't allocate memory", "not enough memory", "out of memory"})
    if (message.find(sign) != std::string::npos) return "ENGINE_OUT_OF_MEMORY";
  return "ENGINE_OPERATOR";
}

/** Runs `body`; every C++ exception becomes a JavaScript one with a code. */
template <typename Body>
Napi::Value guarded(const Napi::CallbackInfo& info, const Body& body) {
  try {
    return body();
  } catch (const HandleError& error) {
    throw_js(info.Env(), error.code, error.what());
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw_js(info.Env(), "ENGINE_OUT_OF_MEMORY", "out of memory");
  } catch (const c10::Error& error) {
    throw_js(info.Env(), code_of(error.what_without_backtrace()), first_lines(error.what_without_backtrace()));
  } catch (const std::exception& error) {
    throw_js(info.Env(), code_of(error.what()), first_lines(error.what()));
  }
}

/**
 * operator(name, overload) -> [identifier for call(), "Tensor" | "Tensor[]" | "other" per result]; names an operator that
 * libtorch or this addon registered.
 */
Napi::Value find_operator(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    if (!info[0].IsString() || !info[1].IsString()) throw HandleError("ENGINE_ARGUMENT", "expected operator name and overload");
    auto& operators = state(info).operators;
    operators.push_back(c10::Dispatcher::singleton().findSchemaOrThrow(
        info[0].As<Napi::String>().Utf8Value().c_str(), info[1].As<Napi::String>().Utf8Value().c_str()));
    Napi::Array result = Napi::Array::New(info.Env());
    result.Set(0u, static_cast<double>(operators.size() - 1));
    for (const auto& value : operators.back().schema().returns()) {
      const std::string type = value.type()->str();
      result.Set(result.Length(), type == "Tensor" || type == "Tensor[]" ? type : "other");
    }
    return result;
  });
}

/** call(identifier, arguments): arguments in the order of the schema; missing trailing ones take their defaults. */
Napi::Value call(const Napi::CallbackInfo& info) {
  State& addon = state(info);
  if (!info[0].IsNumber() || !info[1].IsArray())
    throw_js(info.Env(), "ENGINE_ARGUMENT", "call: expected an operator and an array of arguments");
  const double identifier = info[0].As<Napi::Number>().DoubleValue();
  if (!(identifier >= 0 && identifier < static_cast<double>(addon.operators.size())))
    throw_js(info.Env(), "ENGINE_ARGUMENT", "call: expected an operator and an array of arguments");
  // A copy: a getter on the arguments could call operator() and move the list.
  const c10::OperatorHandle op = addon.operators[static_cast<size_t>(identifier)];
  const c10::FunctionSchema& schema = op.schema();
  const auto& arguments = schema.arguments();
  const Napi::Array values = info[1].As<Napi::Array>();
  const uint32_t given = values.Length();
  torch::jit::Stack stack;
  stack.reserve(arguments.size());

  // Shapes are only worth printing when something went wrong, and the stack is consumed by the call.
  const auto shapes = [&]() {
    std::string text;
    const auto add = [&](const std::string& name, const Napi::Value& value) {
      if (!value.IsNumber()) return;
      try {
        const std::string shape = describe(addon.tensors.get(value.As<Napi::Number>().DoubleValue()));
        text += (text.empty() ? "" : ", ") + name + " " + shape;
      } catch (const HandleError&) {
      }
    };
    constexpr uint32_t most = 4;  // of a list
    for (uint32_t i = 0; i < given && i < arguments.size(); ++i) {
      const Napi::Value value = values.Get(i);
      const std::string type = arguments[i].type()->str();
      if (type == "Tensor" || type == "Tensor?") add(arguments[i].name(), value);
      if (type != "Tensor[]" || !value.IsArray()) continue;
      const auto list = value.As<Napi::Array>();
      for (uint32_t k = 0; k < most && k < list.Length(); ++k)
        add(arguments[i].name() + "[" + std::to_string(k) + "]", list.Get(k));
    }
    return text.empty() ? text : " (" + text + ")";
  };
  const auto context = [&](const std::string& message) { return schema.name() + shapes() + ": " + message; };

  try {
    if (given > arguments.size())
      throw HandleError("ENGINE_ARGUMENT", "expected at most " + std::to_string(arguments.size()) + " arguments, got " +
                                               std::to_string(given));
    for (size_t i = 0; i < arguments.size(); ++i) {
      const Napi::Value value = i < given ? values.Get(static_cast<uint32_t>(i)) : info.Env().Undefined();
      try {
        if (value.IsUndefined() && arguments[i].default_value()) {
          stack.push_back(*arguments[i].default_value());
        } else {
          stack.push_back(to_ivalue(addon.tensors, value, arguments[i].type()));
          check_enumeration(arguments[i].name(), stack.back());
        }
      } catch (const HandleError& error) {
        throw HandleError(error.code, "argument " + arguments[i].name() + ": " + error.what());
      }
    }
    op.callBoxed(&stack);
    if (stack.empty()) return info.Env().Undefined();
    if (stack.size() == 1) return from_ivalue(info.Env(), addon.tensors, stack[0]);
    Napi::Array results = Napi::Array::New(info.Env(), stack.size());
    for (size_t i = 0; i < stack.size(); ++i)
      results.Set(static_cast<uint32_t>(i), from_ivalue(info.Env(), addon.tensors, stack[i]));
    return results;
  } catch (const HandleError& error) {
    throw_js(info.Env(), error.code, context(error.what()));
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw_js(info.Env(), "ENGINE_OUT_OF_MEMORY", context("out of memory"));
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    throw_js(info.Env(), code_of(message), context(first_lines(message)));
  } catch (const std::exception& error) {
    throw_js(info.Env(), code_of(error.what()), context(first_lines(error.what())));
  }
}

struct ElementType {
  napi_typedarray_type array;
  at::ScalarType scalar;
};
constexpr ElementType kElementTypes[] = {
    {napi_float32_array, at::kFloat}, {napi_float64_array, at::kDouble}, {napi_int32_array, at::kInt},
    {napi_bigint64_array, at::kLong}, {napi_uint8_array, at::kByte},
};

/** from_array(typedArray, shape) -> tensor on the CPU with a copy of the data. */
Napi::Value from_array(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    if (!info[0].IsTypedArray()) throw HandleError("ENGINE_ARGUMENT", "fromArray: expected a typed array");
    // First, because reading the shape may run JavaScript that takes the array's memory away.
    const std::vector<int64_t> shape = to_shape(info[1]);
    const auto array = info[0].As<Napi::TypedArray>();
    double count = 1;
    for (int64_t size : shape) count *= static_cast<double>(size);
    if (count != static_cast<double>(array.ElementLength()))
      throw HandleError("ENGINE_ARGUMENT", "fromArray: expected " + std::to_string(static_cast<int64_t>(count)) +
                                               " elements for the shape, got " + std::to_string(array.ElementLength()));
    for (const ElementType& type : kElementTypes) {
      if (type.array != array.TypedArrayType()) continue;
      at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(type.scalar));
      // The raw call, because Napi::ArrayBuffer refuses the shared buffers that loader threads fill.
      void* source = nullptr;
      napi_get_typedarray_info(info.Env(), array, nullptr, nullptr, &source, nullptr, nullptr);
      if (source != nullptr && tensor.nbytes() > 0) std::memcpy(tensor.data_ptr(), source, tensor.nbytes());
      return Napi::Number::New(info.Env(), state(info).tensors.insert(std::move(tensor)));
    }
    throw HandleError("ENGINE_ARGUMENT",
                      "fromArray: expected a Float32Array, Float64Array, Int32Array, BigInt64Array or Uint8Array");
  });
}

/** to_array(tensor) -> typed array with a copy of the values, in row-major order of the shape. */
Napi::Value to_array(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    c10::AutoGradMode no_grad(false);
    const at::Tensor tensor = tensor_argument(info, 0).to(at::kCPU).contiguous();
    const auto count = static_cast<size_t>(tensor.numel());
    for (const ElementType& type : kElementTypes) {
      if (type.scalar != tensor.scalar_type() && !(tensor.scalar_type() == at::kBool && type.scalar == at::kByte)) continue;
      auto buffer = Napi::ArrayBuffer::New(info.Env(), tensor.nbytes());
      if (count > 0) std::memcpy(buffer.Data(), tensor.data_ptr(), tensor.nbytes());
      switch (type.array) {
        case napi_float32_array: return Napi::Float32Array::New(info.Env(), count, buffer, 0);
        case napi_float64_array: return Napi::Float64Array::New(info.Env(), count, buffer, 0);
        case napi_int32_array: return Napi::Int32Array::New(info.Env(), count, buffer, 0);
        case napi_bigint64_array: return Napi::BigInt64Array::New(info.Env(), count, buffer, 0);
        default: return Napi::Uint8Array::New(info.Env(), count, buffer, 0);
      }
    }
    throw HandleError("ENGINE_ARGUMENT", "toArray: no typed array holds " + describe(tensor));
  });
}

/** describe(tensor) -> [dtype number, device name, size, size, ...] */
Napi::Value describe_tensor(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const at::Tensor& tensor = tensor_argument(info, 0);
    Napi::Array result = Napi::Array::New(info.Env());
    result.Set(0u, static_cast<double>(tensor.scalar_type()));
    result.Set(1u, tensor.device().str());
    for (int64_t i = 0; i < tensor.dim(); ++i) result.Set(static_cast<uint32_t>(i + 2), static_cast<double>(tensor.size(i)));
    return result;
  });
}

Napi::Value release(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    if (!info[0].IsNumber()) throw HandleError("ENGINE_ARGUMENT", "expected a tensor");
    state(info).tensors.release(info[0].As<Napi::Number>().DoubleValue());
    return info.Env().Undefined();
  });
}

Napi::Value open_scope(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), state(info).tensors.open_scope());
}

Napi::Value close_scope(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const int64_t depth = to_int64(info[0]);
    if (depth < 1 || depth > std::numeric_limits<uint32_t>::max()) throw HandleError("ENGINE_ARGUMENT", "scope: no such scope");
    state(info).tensors.close_scope(static_cast<uint32_t>(depth));
    return info.Env().Undefined();
  });
}

/** move_out(tensor, outermost) */
Napi::Value move_out(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    if (!info[0].IsNumber() || !info[1].IsBoolean()) throw HandleError("ENGINE_ARGUMENT", "expected a tensor");
    state(info).tensors.move_out(info[0].As<Napi::Number>().DoubleValue(), info[1].As<Napi::Boolean>().Value());
    return info.Env().Undefined();
  });
}

Napi::Value live_tensors(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(state(info).tensors.live()));
}

Napi::Value set_requires_grad(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const at::Tensor& tensor = tensor_argument(info, 0);
    if (!info[1].IsBoolean()) throw HandleError("ENGINE_ARGUMENT", "requiresGrad: expected a boolean");
    tensor.requires_grad_(info[1].As<Napi::Boolean>().Value());
    return info.Env().Undefined();
  });
}

/** gradients(loss, inputs) -> handle or null (no path from the input to the loss) per input. */
Napi::Value gradients(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    State& addon = state(info);
    const at::Tensor loss = tensor_argument(info, 0);
    if (!info[1].IsArray()) throw HandleError("ENGINE_ARGUMENT", "gradients: expected an array of tensors");
    const auto handles = info[1].As<Napi::Array>();
    std::vector<at::Tensor> inputs;
    for (uint32_t i = 0; i < handles.Length(); ++i) {
      const Napi::Value handle = handles.Get(i);
      if (!handle.IsNumber()) throw HandleError("ENGINE_ARGUMENT", "gradients: expected an array of tensors");
      inputs.push_back(addon.tensors.get(handle.As<Napi::Number>().DoubleValue()));
    }
    const auto result = torch::autograd::grad({loss}, inputs, {}, c10::nullopt, false, true);
    Napi::Array array = Napi::Array::New(info.Env(), result.size());
    for (size_t i = 0; i < result.size(); ++i)
      array.Set(static_cast<uint32_t>(i), from_ivalue(info.Env(), addon.tensors, result[i]));
    return array;
  });
}

/** set_grad_enabled(boolean) -> what it was */
Napi::Value set_grad_enabled(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    if (!info[0].IsBoolean()) throw HandleError("ENGINE_ARGUMENT", "setGradEnabled: expected a boolean");
    const bool before = c10::GradMode::is_enabled();
    c10::GradMode::set_enabled(info[0].As<Napi::Boolean>().Value());
    return Napi::Boolean::New(info.Env(), before);
  });
}

Napi::Value set_threads(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const int64_t count = to_int64(info[0]);
    if (count < 1 || count > 1024)
      throw HandleError("ENGINE_ARGUMENT", "threads: expected 1 to 1024, got " + std::to_string(count));
    at::set_num_threads(static_cast<int>(count));
    return info.Env().Undefined();
  });
}

Napi::Value information(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("libtorchVersion", TORCH_VERSION);
    result.Set("threads", at::get_num_threads());
    result.Set("configuration", at::show_config());
    const bool cuda = at::globalContext().hasCUDA();
    result.Set("cudaDevices", cuda ? static_cast<double>(at::detail::getCUDAHooks().getNumGPUs()) : 0.0);
    // Which library the matrix products really come from: Debian's alternatives decide it at load time.
    Dl_info library;
    void* symbol = dlsym(RTLD_DEFAULT, "sgemm_");
    result.Set("blasLibrary", symbol != nullptr && dladdr(symbol, &library) != 0 ? library.dli_fname : "inside libtorch");
    return result;
  });
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  // Registered operators and OpenMP threads outlive a worker; unloading the library with the last worker would crash.
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&initialise), &self) != 0) dlopen(self.dli_fname, RTLD_NOW | RTLD_NODELETE);
  // Now, rather than in the middle of a step.
  try {
    vector_code();
  } catch (const std::invalid_argument& error) {
    throw_js(env, "ENGINE_VECTOR", error.what());
  }
  State* addon = new State();
  env.SetInstanceData(addon);
  const auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("operator", find_operator);
  add("call", call);
  add("fromArray", from_array);
  add("toArray", to_array);
  add("describe", describe_tensor);
  add("release", release);
  add("openScope", open_scope);
  add("closeScope", close_scope);
  add("moveOut", move_out);
  add("liveTensors", live_tensors);
  add("setRequiresGrad", set_requires_grad);
  add("gradients", gradients);
  add("setGradEnabled", set_grad_enabled);
  add("setThreads", set_threads);
  add("information", information);
  exports.Set("processes", process_functions(env, addon->tensors));
  return exports;
}

}  // namespace
}  // namespace ista

static Napi::Object ista_initialise(Napi::Env env, Napi::Object exports) { return ista::initialise(env, exports); }

NODE_API_MODULE(ista_nas, ista_initialise)
