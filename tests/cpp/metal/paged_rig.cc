// See paged_rig.h.
#include "paged_rig.h"

#include <bit>
#include <cmath>
#include <numeric>

#include "base/half.h"
#include "kernels.h"

namespace paged_rig {

namespace {

size_t element_plane_bytes(const CacheShape& shape, int slots) {
  const size_t n = size_t(slots) * shape.kv_heads * shape.head_dim;
  return shape.bits < 16 ? n * shape.bits / 8 : n * bytes_of(shape.element);
}

size_t scales_of(const CacheShape& shape, int slots) {
  return shape.bits < 16
      ? size_t(slots) * shape.kv_heads * shape.head_dim / shape.group
      : 0;
}

double get_element(Element element, const Guarded& memory, size_t i) {
  switch (element) {
    case Element::kF16:
      return stomp::f16_to_f32(memory.as<uint16_t>()[i]);
    case Element::kBf16:
      return stomp::bf16_to_f32(memory.as<uint16_t>()[i]);
    default:
      return memory.as<float>()[i];
  }
}

void set_element(Element element, Guarded& memory, size_t i, double x) {
  const auto value = static_cast<float>(x);
  switch (element) {
    case Element::kF16:
      memory.as<uint16_t>()[i] = stomp::f32_to_f16(value);
      break;
    case Element::kBf16:
      memory.as<uint16_t>()[i] = stomp::f32_to_bf16(value);
      break;
    default:
      memory.as<float>()[i] = value;
  }
}

} // namespace

std::vector<int> Random::permutation(int n) {
  std::vector<int> all(n);
  std::iota(all.begin(), all.end(), 0);
  std::shuffle(all.begin(), all.end(), engine_);
  return all;
}

size_t bytes_of(Element element) {
  return element == Element::kF32 ? 4 : 2;
}

double Elements::get(size_t i) const {
  return get_element(element_, memory_, i);
}

void Elements::set(size_t i, double x) {
  set_element(element_, memory_, i, x);
}

Planes::Planes(const std::string& name, CacheShape shape, int slots, Edge edge)
    : shape_(shape),
      elements_(name, element_plane_bytes(shape, slots), edge),
      scales_(name + " scales", Element::kF16, scales_of(shape, slots), edge),
      biases_(name + " biases", Element::kF16, scales_of(shape, slots), edge) {}

size_t Planes::group(int slot, int head, int d) const {
  return row(slot, head) * (shape_.head_dim / shape_.group) + d / shape_.group;
}

double Planes::scale(int slot, int head, int d) const {
  return scales_.get(group(slot, head, d));
}

double Planes::bias(int slot, int head, int d) const {
  return biases_.get(group(slot, head, d));
}

uint32_t Planes::code(int slot, int head, int d) const {
  const size_t bit = (row(slot, head) * shape_.head_dim + d) * shape_.bits;
  const uint32_t word = elements_.as<uint32_t>()[bit / 32];
  return word >> (bit % 32) & ((1u << shape_.bits) - 1);
}

double Planes::value(int slot, int head, int d) const {
  if (!coded()) {
    return get_element(
        shape_.element, elements_, row(slot, head) * shape_.head_dim + d);
  }
  return code(slot, head, d) * scale(slot, head, d) + bias(slot, head, d);
}

void Planes::fill(int slot, Random& random, float size) {
  const size_t n = size_t(shape_.kv_heads) * shape_.head_dim;
  if (!coded()) {
    for (size_t i = slot * n; i < (slot + 1) * n; i++) {
      set_element(shape_.element, elements_, i, random.real(-size, size));
    }
    return;
  }
  const size_t bytes = n * shape_.bits / 8;
  for (size_t i = slot * bytes; i < (slot + 1) * bytes; i++) {
    elements_.as<uint8_t>()[i] = static_cast<uint8_t>(random.integer(0, 255));
  }
  const float steps = shape_.bits == 8 ? 255.0f : 15.0f;
  const size_t groups = n / shape_.group;
  for (size_t i = slot * groups; i < (slot + 1) * groups; i++) {
    scales_.set(i, random.real(size, 2 * size) / steps);
    biases_.set(i, random.real(-size, 0));
  }
}

void run_launch(
    const Launch& launch,
    std::unique_ptr<Guarded> params,
    const Buffers& buffers,
    Order order) {
  Guarded nothing("a buffer that is not there", 0, Edge::kEnd);
  emulator::Dispatch dispatch;
  const auto& [x, y, z] = launch.groups;
  dispatch.groups = {unsigned(x), unsigned(y), unsigned(z)};
  dispatch.threads = static_cast<unsigned>(launch.threads);
  for (const std::string name : launch.buffers) {
    const auto found = buffers.find(name);
    dispatch.buffers.push_back(
        name == "params"             ? params.get()
            : found == buffers.end() ? &nothing
                                     : found->second);
  }
  dispatch.threadgroup_bytes.assign(
      launch.threadgroup_bytes.begin(), launch.threadgroup_bytes.end());
  dispatch.order = order;
  emulator::set_function_constants(launch.constants);
  emulator::run(emulator::kernel(launch.function), dispatch);
}

CacheShape random_shape(Random& random) {
  CacheShape shape;
  shape.element = random.pick({Element::kF16, Element::kBf16, Element::kF32});
  shape.kv_heads = random.integer(1, 3);
  shape.block_tokens = random.pick({16, 16, 32, 64, 128, 256});
  shape.bits = random.pick({16, 16, 8, 4});
  if (shape.bits == 16) {
    shape.head_dim = 16 * random.integer(1, 16);
  } else {
    shape.group = random.pick({64, 32});
    shape.head_dim = shape.group * random.integer(1, 256 / shape.group);
  }
  return shape;
}

std::string text_of(const CacheShape& shape) {
  return std::to_string(shape.kv_heads) + " heads of " +
      std::to_string(shape.head_dim) + ", blocks of " +
      std::to_string(shape.block_tokens) + ", " + std::to_string(shape.bits) +
      " bits, groups of " + std::to_string(shape.group) + ", element type " +
      std::to_string(static_cast<int>(shape.element));
}

} // namespace paged_rig
