// An mlx-c array handle that frees itself, and the one way MLX's errors become
// stomp::Error. Engine thread only, like everything in exec/mlx.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "mlx/c/mlx.h"

namespace stomp::mlx_exec {

/// Replaces mlx-c's handler, which prints and exits. The handler is global to
/// the process, what it keeps is per thread. Idempotent; called before any
/// other mlx-c function.
void install_error_handler();

/// The message of this thread's last failed call, without source positions.
std::string last_error();

/// Throws with last_error() unless rc is 0. `what` completes "MLX could not".
void check(int rc, const char* what, Code code = Code::kGenerationFailed);

/// A reference to a lazy array; copying shares it.
class Array {
 public:
  Array() : handle_(mlx_array_new()) {}
  /// Takes ownership. Throws when it is a failed constructor's null handle.
  static Array adopt(mlx_array handle, const char* what);
  /// Copies `data`; shape and dtype say how much of it.
  static Array
  from_bytes(const void* data, const std::vector<int>& shape, mlx_dtype dtype);
  static Array from_ints(std::span<const int32_t> values);
  static Array from_floats(std::span<const float> values);

  Array(const Array& other);
  Array(Array&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Array& operator=(Array other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Array() { mlx_array_free(handle_); }

  bool empty() const { return handle_.ctx == nullptr; }
  mlx_array get() const { return handle_; }
  /// For the result argument of an mlx-c function.
  mlx_array* out() { return &handle_; }

  /// REQUIRES: !empty(), for all below.
  int dim(int axis) const { return mlx_array_dim(handle_, axis); }
  size_t bytes() const { return mlx_array_nbytes(handle_); }
  mlx_dtype dtype() const { return mlx_array_dtype(handle_); }
  /// Computes it if need be and waits.
  void wait() const;
  /// First byte on the host. REQUIRES: waited for, row-contiguous.
  const std::byte* host() const;

 private:
  mlx_array handle_;
};

/// A list of arrays for calls that take several.
class Arrays {
 public:
  Arrays() : handle_(mlx_vector_array_new()) {}
  Arrays(const Arrays&) = delete;
  Arrays& operator=(const Arrays&) = delete;
  ~Arrays() { mlx_vector_array_free(handle_); }

  void add(const Array& array);
  std::vector<Array> all() const;
  mlx_vector_array get() const { return handle_; }
  /// For the result argument of an mlx-c function.
  mlx_vector_array* out() { return &handle_; }

 private:
  mlx_vector_array handle_;
};

/// Computes all of them and waits.
void evaluate(const Arrays& arrays);

/// Hands all of them to the device and returns.
void start(const Arrays& arrays);

} // namespace stomp::mlx_exec
