// JavaScript values to libtorch's and back, as an operator's own schema says.
#include "convert.h"

#include <ATen/core/List.h>
#include <ATen/core/jit_type.h>
#include <c10/core/Device.h>
#include <c10/core/MemoryFormat.h>
#include <c10/core/ScalarType.h>

#include <cmath>
#include <cstdlib>
#include <limits>

namespace ista {

namespace {

// Beyond anything that an operator takes; an empty array may claim 2^32 - 1 items.
constexpr uint32_t kMaxListLength = 1 << 20;

[[noreturn]] void mismatch(const char* expected, const Napi::Value& value) {
  static const char* kinds[] = {"undefined", "null", "a boolean", "a number", "a string",
                                "a symbol",  "an object", "a function", "an external", "a bigint"};
  const auto kind = static_cast<size_t>(value.Type());
  std::string came = kind < 10 ? kinds[kind] : "something else";
  if (value.IsNumber()) came += " (" + std::to_string(value.As<Napi::Number>().DoubleValue()) + ")";
  throw HandleError("ENGINE_ARGUMENT", std::string("expected ") + expected + ", got " + came);
}

double to_double(const Napi::Value& value) {
  if (!value.IsNumber()) mismatch("a number", value);
  return value.As<Napi::Number>().DoubleValue();
}

// A size, stride, index or the like. Many kernels hold these in 32 bits without a look: 2^32 groups would be none.
int64_t to_size(const Napi::Value& value) {
  const int64_t number = to_int64(value);
  if (std::abs(number) > std::numeric_limits<int32_t>::max()) mismatch("a whole number below 2^31", value);
  return number;
}

Napi::Array to_array(const Napi::Value& value, const char* expected) {
  if (!value.IsArray()) mismatch(expected, value);
  return value.As<Napi::Array>();
}

template <typename T, typename Convert>
c10::IValue to_list(const Napi::Value& value, const char* expected, Convert convert) {
  const Napi::Array array = to_array(value, expected);
  const uint32_t length = array.Length();
  if (length > kMaxListLength)
    throw HandleError("ENGINE_ARGUMENT", "expected a list of at most " + std::to_string(kMaxListLength) + " items, got " +
                                             std::to_string(length));
  c10::List<T> list;
  for (uint32_t i = 0; i < length; ++i) list.push_back(convert(array.Get(i)));
  return list;
}

c10::IValue to_list_of(const TensorTable& table, const Napi::Value& value, const c10::TypePtr& element) {
  switch (element->kind()) {
    case c10::TypeKind::TensorType:
      return to_list<at::Tensor>(value, "an array of tensors",
                                 [&](const Napi::Value& v) { return table.get(to_double(v)); });
    case c10::TypeKind::OptionalType:
      return to_list<c10::optional<at::Tensor>>(
          value, "an array of tensors or null", [&](const Napi::Value& v) -> c10::optional<at::Tensor> {
            if (v.IsNull() || v.IsUndefined()) return c10::nullopt;
            return table.get(to_double(v));
          });
    case c10::TypeKind::FloatType:
      return to_list<double>(value, "an array of numbers", to_double);
    case c10::TypeKind::BoolType:
      return to_list<bool>(value, "an array of booleans", [](const Napi::Value& v) {
        if (!v.IsBoolean()) mismatch("a boolean", v);
        return v.As<Napi::Boolean>().Value();
      });
    case c10::TypeKind::StringType:
      return to_list<std::string>(value, "an array of strings", [](const Napi::Value& v) {
        if (!v.IsString()) mismatch("a string", v);
        return v.As<Napi::String>().Utf8Value();
      });
    default:  // int[] and SymInt[]
      return to_list<int64_t>(value, "an array of whole numbers", to_size);
  }
}

}  // namespace

int64_t to_int64(const Napi::Value& value) {
  const double number = to_double(value);
  if (number != std::floor(number) || std::abs(number) > 9007199254740991.0) mismatch("a whole number", value);
  return static_cast<int64_t>(number);
}

std::vector<int64_t> to_shape(const Napi::Value& value) {
  const Napi::Array array = to_array(value, "a shape (an array of whole numbers)");
  if (array.Length() > 16) throw HandleError("ENGINE_ARGUMENT", "expected at most 16 dimensions");
  std::vector<int64_t> shape;
  double count = 1;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    shape.push_back(to_int64(array.Get(i)));
    if (shape.back() < 0) throw HandleError("ENGINE_ARGUMENT", "expected sizes >= 0 in the shape");
    count *= static_cast<double>(shape.back());
    if (count > 9007199254740991.0) throw HandleError("ENGINE_ARGUMENT", "expected fewer than 2^53 elements in the shape");
  }
  return shape;
}

c10::IValue to_ivalue(const TensorTable& table, const Napi::Value& value, const c10::TypePtr& type) {
  switch (type->kind()) {
    case c10::TypeKind::TensorType:
      return table.get(to_double(value));
    case c10::TypeKind::OptionalType:
      if (value.IsNull() || value.IsUndefined()) return c10::IValue();
      return to_ivalue(table, value, type->expectRef<c10::OptionalType>().getElementType());
    case c10::TypeKind::ListType: {
      const auto& element = type->expectRef<c10::ListType>().getElementType();
      // int[2] accepts one number for both, as in PyTorch.
      if (value.IsNumber() && element->kind() == c10::TypeKind::IntType) return c10::List<int64_t>({to_size(value)});
      return to_list_of(table, value, element);
    }
    case c10::TypeKind::FloatType:
      return to_double(value);
    case c10::TypeKind::NumberType: {
      const double number = to_double(value);
      if (number == std::floor(number) && std::abs(number) <= 9007199254740991.0) return static_cast<int64_t>(number);
      return number;
    }
    case c10::TypeKind::BoolType:
      if (!value.IsBoolean()) mismatch("a boolean", value);
      return value.As<Napi::Boolean>().Value();
    case c10::TypeKind::StringType:
      if (!value.IsString()) mismatch("a string", value);
      return value.As<Napi::String>().Utf8Value();
    case c10::TypeKind::DeviceObjType:
      if (!value.IsString()) mismatch("a device name such as cpu or cuda:0", value);
      return c10::Device(value.As<Napi::String>().Utf8Value());
    case c10::TypeKind::GeneratorType:
      throw HandleError("ENGINE_ARGUMENT", "expected null: random numbers come from the program's own streams");
    default:  // int, SymInt, and the enumerations that travel as int (dtype, layout, memory format)
      return to_size(value);
  }
}

void check_enumeration(const std::string& name, const c10::IValue& value) {
  const int64_t count = name == "dtype"           ? static_cast<int64_t>(at::ScalarType::Bool) + 1
                        : name == "layout"        ? 1
                        : name == "memory_format" ? static_cast<int64_t>(at::MemoryFormat::ChannelsLast3d) + 1
                                                  : 0;
  if (count == 0 || !value.isInt() || (value.toInt() >= 0 && value.toInt() < count)) return;
  throw HandleError("ENGINE_ARGUMENT",
                    "expected 0 to " + std::to_string(count - 1) + ", got " + std::to_string(value.toInt()));
}

Napi::Value from_ivalue(Napi::Env env, TensorTable& table, const c10::IValue& value) {
  if (value.isTensor()) {
    const at::Tensor& tensor = value.toTensor();
    return tensor.defined() ? Napi::Value(Napi::Number::New(env, table.insert(tensor))) : env.Null();
  }
  if (value.isInt()) return Napi::Number::New(env, static_cast<double>(value.toInt()));
  if (value.isDouble()) return Napi::Number::New(env, value.toDouble());
  if (value.isBool()) return Napi::Boolean::New(env, value.toBool());
  if (value.isString()) return Napi::String::New(env, value.toStringRef());
  if (value.isNone()) return env.Null();
  if (value.isList()) {
    const auto list = value.toListRef();
    Napi::Array array = Napi::Array::New(env, list.size());
    for (size_t i = 0; i < list.size(); ++i) array.Set(static_cast<uint32_t>(i), from_ivalue(env, table, list[i]));
    return array;
  }
  throw HandleError("ENGINE_ARGUMENT", "the operator returns a " + value.tagKind() + ", which has no JavaScript form");
}

std::string describe(const at::Tensor& tensor) {
  if (!tensor.defined()) return "undefined";
  std::string text = c10::toString(tensor.scalar_type());
  text += "[";
  for (int64_t i = 0; i < tensor.dim(); ++i) text += (i ? ", " : "") + std::to_string(tensor.size(i));
  return text + "]";
}

}  // namespace ista
