// A paged cache in guarded memory, and the kernels of metal/ run on it as the
// launch plans say.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "emulator.h"
#include "exec/mlx/metal_launch.h"

namespace paged_rig {

using emulator::Edge;
using emulator::Guarded;
using emulator::Order;
using stomp::mlx_exec::metal::CacheShape;
using stomp::mlx_exec::metal::Element;
using stomp::mlx_exec::metal::Launch;

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}

  /// Of [low, high].
  int integer(int low, int high) {
    return std::uniform_int_distribution(low, high)(engine_);
  }
  float real(float low, float high) {
    return std::uniform_real_distribution(low, high)(engine_);
  }
  bool chance(int one_in) { return integer(1, one_in) == 1; }
  template <typename T>
  T pick(std::initializer_list<T> of) {
    return of.begin()[integer(0, static_cast<int>(of.size()) - 1)];
  }
  /// 0 .. n - 1 in any order.
  std::vector<int> permutation(int n);
  Edge edge() { return chance(2) ? Edge::kBegin : Edge::kEnd; }
  std::mt19937& engine() { return engine_; }

 private:
  std::mt19937 engine_;
};

size_t bytes_of(Element element);

/// Numbers of an element type in guarded memory.
class Elements {
 public:
  Elements(std::string name, Element element, size_t n, Edge edge)
      : element_(element),
        memory_(std::move(name), n * bytes_of(element), edge) {}
  Guarded& memory() { return memory_; }
  double get(size_t i) const;
  void set(size_t i, double x);

 private:
  Element element_;
  Guarded memory_;
};

/// The planes of K or of V. What nobody wrote is NaN, or codes of which the
/// scale is.
class Planes {
 public:
  Planes(const std::string& name, CacheShape shape, int slots, Edge edge);

  /// Gives the token in `slot` random heads.
  void fill(int slot, Random& random, float size);
  /// What element d of a head stands for.
  double value(int slot, int head, int d) const;
  /// A code as it is kept.
  uint32_t code(int slot, int head, int d) const;

  Guarded& elements() { return elements_; }
  Guarded& scales() { return scales_.memory(); }
  Guarded& biases() { return biases_.memory(); }
  double scale(int slot, int head, int d) const;
  double bias(int slot, int head, int d) const;

 private:
  size_t row(int slot, int head) const {
    return size_t(slot) * shape_.kv_heads + head;
  }
  size_t group(int slot, int head, int d) const;
  bool coded() const { return shape_.bits < 16; }

  CacheShape shape_;
  Guarded elements_; // or codes
  Elements scales_;
  Elements biases_;
};

/// Buffers by the names that launches have for them.
using Buffers = std::map<std::string, Guarded*>;

/// A copy of plain data in guarded memory.
template <typename T>
std::unique_ptr<Guarded>
guarded(const std::string& name, const std::vector<T>& data, Edge edge) {
  auto memory = std::make_unique<Guarded>(name, data.size() * sizeof(T), edge);
  std::copy(data.begin(), data.end(), memory->template as<T>().begin());
  return memory;
}

/// Runs a launch with its kernel's parameters. A buffer that is not given is
/// bound to memory without a single byte.
void run_launch(
    const Launch& launch,
    std::unique_ptr<Guarded> params,
    const Buffers& buffers,
    Order order);

template <typename Params>
void run_launch(
    const Launch& launch,
    const Params& params,
    const Buffers& buffers,
    Order order = Order::kForward) {
  run_launch(
      launch, guarded<Params>("params", {params}, Edge::kEnd), buffers, order);
}

/// A shape that the kernels support, any of them.
CacheShape random_shape(Random& random);

std::string text_of(const CacheShape& shape);

} // namespace paged_rig
