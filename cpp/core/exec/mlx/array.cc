// See array.h.
#include "exec/mlx/array.h"

namespace stomp::mlx_exec {

namespace {

thread_local std::string last_message;

void keep_message(const char* message, void*) {
  last_message = message;
}

} // namespace

void install_error_handler() {
  mlx_set_error_handler(keep_message, nullptr, nullptr);
}

std::string last_error() {
  const size_t position = last_message.rfind(" at ");
  return last_message.substr(0, position);
}

void check(int rc, const char* what, Code code) {
  if (rc == 0) {
    return;
  }
  const std::string reason = last_error();
  last_message.clear();
  throw Error(
      code,
      std::string("MLX could not ") + what + ": " +
          (reason.empty() ? "no reason given" : reason));
}

Array Array::adopt(mlx_array handle, const char* what) {
  check(handle.ctx ? 0 : 1, what);
  Array array;
  array.handle_ = handle;
  return array;
}

Array Array::from_bytes(
    const void* data,
    const std::vector<int>& shape,
    mlx_dtype dtype) {
  return adopt(
      mlx_array_new_data(
          data, shape.data(), static_cast<int>(shape.size()), dtype),
      "take data over");
}

Array Array::from_ints(std::span<const int32_t> values) {
  return from_bytes(
      values.data(), {static_cast<int>(values.size())}, MLX_INT32);
}

Array Array::from_floats(std::span<const float> values) {
  return from_bytes(
      values.data(), {static_cast<int>(values.size())}, MLX_FLOAT32);
}

Array::Array(const Array& other) : handle_(mlx_array_new()) {
  if (!other.empty()) {
    check(mlx_array_set(&handle_, other.handle_), "share an array");
  }
}

void Array::wait() const {
  check(mlx_array_eval(handle_), "compute a step");
}

const std::byte* Array::host() const {
  // The typed getters differ in nothing but the pointer's type.
  const void* p = mlx_array_data_uint8(handle_);
  check(p ? 0 : 1, "read a result");
  return static_cast<const std::byte*>(p);
}

void Arrays::add(const Array& array) {
  check(mlx_vector_array_append_value(handle_, array.get()), "list an array");
}

std::vector<Array> Arrays::all() const {
  std::vector<Array> arrays(mlx_vector_array_size(handle_));
  for (size_t i = 0; i < arrays.size(); i++) {
    check(mlx_vector_array_get(arrays[i].out(), handle_, i), "unpack a list");
  }
  return arrays;
}

void evaluate(const Arrays& arrays) {
  check(mlx_eval(arrays.get()), "compute a step");
}

void start(const Arrays& arrays) {
  check(mlx_async_eval(arrays.get()), "start a step");
}

} // namespace stomp::mlx_exec
