// See graph.h.
#include "exec/mlx/graph.h"

namespace stomp::mlx_exec {

namespace {

const mlx_array kNone{};

} // namespace

Array Graph::add(const Array& a, const Array& b) const {
  Array y;
  check(mlx_add(y.out(), a.get(), b.get(), stream_), "add");
  return y;
}

Array Graph::multiply(const Array& a, const Array& b) const {
  Array y;
  check(mlx_multiply(y.out(), a.get(), b.get(), stream_), "multiply");
  return y;
}

Array Graph::sigmoid(const Array& a) const {
  Array y;
  check(mlx_sigmoid(y.out(), a.get(), stream_), "take a sigmoid");
  return y;
}

Array Graph::cast(const Array& a, mlx_dtype dtype) const {
  Array y;
  check(mlx_astype(y.out(), a.get(), dtype, stream_), "cast");
  return y;
}

Array Graph::contiguous(const Array& a) const {
  Array y;
  check(mlx_contiguous(y.out(), a.get(), false, stream_), "copy");
  return y;
}

Array Graph::reshape(const Array& a, const std::vector<int>& shape) const {
  Array y;
  check(
      mlx_reshape(y.out(), a.get(), shape.data(), shape.size(), stream_),
      "reshape");
  return y;
}

Array Graph::transpose(const Array& a, const std::vector<int>& axes) const {
  Array y;
  check(
      mlx_transpose_axes(y.out(), a.get(), axes.data(), axes.size(), stream_),
      "transpose");
  return y;
}

Array Graph::slice(const Array& a, int axis, int begin, int end) const {
  const size_t dims = mlx_array_ndim(a.get());
  std::vector<int> from(dims, 0);
  const std::vector<int> strides(dims, 1);
  const int* shape = mlx_array_shape(a.get());
  std::vector<int> to(shape, shape + dims);
  from[axis] = begin;
  to[axis] = end;
  Array y;
  check(
      mlx_slice(
          y.out(),
          a.get(),
          from.data(),
          dims,
          to.data(),
          dims,
          strides.data(),
          dims,
          stream_),
      "slice");
  return y;
}

Array Graph::concatenate(const std::vector<Array>& parts, int axis) const {
  if (parts.size() == 1) {
    return parts[0];
  }
  Arrays list;
  for (const Array& part : parts) {
    list.add(part);
  }
  Array y;
  check(
      mlx_concatenate_axis(y.out(), list.get(), axis, stream_), "concatenate");
  return y;
}

Array Graph::zeros(const std::vector<int>& shape, mlx_dtype dtype) const {
  Array y;
  check(
      mlx_zeros(y.out(), shape.data(), shape.size(), dtype, stream_),
      "make room");
  return y;
}

Array Graph::take(const Array& a, const Array& indices) const {
  Array y;
  check(mlx_take_axis(y.out(), a.get(), indices.get(), 0, stream_), "gather");
  return y;
}

Array Graph::scatter(const Array& a, const Array& indices, const Array& updates)
    const {
  // Updates carry a slice of size 1 for the scattered axis.
  const int* shape = mlx_array_shape(updates.get());
  std::vector<int> expanded(shape, shape + mlx_array_ndim(updates.get()));
  expanded.insert(expanded.begin() + 1, 1);
  const Array slices = reshape(updates, expanded);
  Array y;
  check(
      mlx_scatter_single(
          y.out(), a.get(), indices.get(), slices.get(), 0, stream_),
      "scatter");
  return y;
}

Array Graph::arg_max(const Array& a) const {
  Array y;
  check(mlx_argmax_axis(y.out(), a.get(), -1, false, stream_), "choose");
  return y;
}

Array Graph::matmul(const Array& a, const Array& b) const {
  Array y;
  check(mlx_matmul(y.out(), a.get(), b.get(), stream_), "multiply matrices");
  return y;
}

Array Graph::rms_norm(const Array& x, const Array& weight, float eps) const {
  Array y;
  check(
      mlx_fast_rms_norm(y.out(), x.get(), weight.get(), eps, stream_),
      "normalise");
  return y;
}

Array Graph::rope(
    const Array& x,
    const Array& positions,
    const Array& periods,
    bool interleaved) const {
  Array y;
  check(
      mlx_fast_rope_dynamic(
          y.out(),
          x.get(),
          x.dim(3),
          interleaved,
          mlx_optional_float{0, false},
          1.0f,
          positions.get(),
          periods.get(),
          stream_),
      "rotate");
  return y;
}

Array Graph::minimum(const Array& a, const Array& b) const {
  Array y;
  check(mlx_minimum(y.out(), a.get(), b.get(), stream_), "take the smaller");
  return y;
}

Array Graph::maximum(const Array& a, const Array& b) const {
  Array y;
  check(mlx_maximum(y.out(), a.get(), b.get(), stream_), "take the larger");
  return y;
}

Array Graph::attention(
    const Array& q,
    const Array& k,
    const Array& v,
    float scale,
    const Array& mask,
    const Array& sinks) const {
  const char* causal = q.dim(2) == 1 ? "" : "causal";
  Array y;
  check(
      mlx_fast_scaled_dot_product_attention(
          y.out(),
          q.get(),
          k.get(),
          v.get(),
          scale,
          mask.empty() ? causal : "array",
          mask.empty() ? kNone : mask.get(),
          sinks.empty() ? kNone : sinks.get(),
          false,
          stream_),
      "attend");
  return y;
}

Array Graph::quantized_matmul(
    const Array& x,
    const Array& codes,
    const Array& scales,
    const Array& biases,
    const Quantisation& how) const {
  Array y;
  check(
      mlx_quantized_matmul(
          y.out(),
          x.get(),
          codes.get(),
          scales.get(),
          biases.get(),
          true,
          mlx_optional_int{how.group, true},
          mlx_optional_int{how.bits, true},
          how.mode(),
          stream_),
      "multiply quantised matrices");
  return y;
}

std::vector<Array> Graph::quantize(const Array& a, int group, int bits) const {
  Arrays triple;
  check(
      mlx_quantize(
          triple.out(),
          a.get(),
          mlx_optional_int{group, true},
          mlx_optional_int{bits, true},
          "affine",
          kNone,
          stream_),
      "quantise");
  return triple.all();
}

Array Graph::dequantize(
    const Array& codes,
    const Array& scales,
    const Array& biases,
    const Quantisation& how,
    mlx_dtype dtype) const {
  Array y;
  check(
      mlx_dequantize(
          y.out(),
          codes.get(),
          scales.get(),
          biases.get(),
          mlx_optional_int{how.group, true},
          mlx_optional_int{how.bits, true},
          how.mode(),
          kNone,
          mlx_optional_dtype{dtype, true},
          stream_),
      "dequantise");
  return y;
}

Array Graph::gather_matmul(
    const Array& x,
    const Array& transposed,
    const Array& which,
    bool sorted) const {
  Array y;
  check(
      mlx_gather_mm(
          y.out(),
          x.get(),
          transposed.get(),
          kNone,
          which.get(),
          sorted,
          stream_),
      "multiply chosen matrices");
  return y;
}

Array Graph::gather_quantized_matmul(
    const Array& x,
    const Array& codes,
    const Array& scales,
    const Array& biases,
    const Array& which,
    const Quantisation& how,
    bool sorted) const {
  Array y;
  check(
      mlx_gather_qmm(
          y.out(),
          x.get(),
          codes.get(),
          scales.get(),
          biases.get(),
          kNone,
          which.get(),
          true,
          mlx_optional_int{how.group, true},
          mlx_optional_int{how.bits, true},
          how.mode(),
          sorted,
          stream_),
      "multiply chosen quantised matrices");
  return y;
}

Array Graph::softmax(const Array& a) const {
  Array y;
  check(mlx_softmax_axis(y.out(), a.get(), -1, true, stream_), "normalise");
  return y;
}

Array Graph::argsort(const Array& a) const {
  Array y;
  check(mlx_argsort_axis(y.out(), a.get(), -1, stream_), "sort");
  return y;
}

Array Graph::top_k(const Array& a, int k) const {
  const auto last = static_cast<int>(mlx_array_ndim(a.get())) - 1;
  const int n = a.dim(last);
  Array order;
  check(
      mlx_argpartition_axis(order.out(), a.get(), n - k, last, stream_),
      "choose experts");
  return slice(order, last, n - k, n);
}

Array Graph::take_along(const Array& a, const Array& indices) const {
  Array y;
  check(
      mlx_take_along_axis(y.out(), a.get(), indices.get(), -1, stream_),
      "gather");
  return y;
}

Array Graph::floor_divide(const Array& a, const Array& b) const {
  Array y;
  check(mlx_floor_divide(y.out(), a.get(), b.get(), stream_), "divide");
  return y;
}

Array Graph::sum(const Array& a, int axis) const {
  Array y;
  check(mlx_sum_axis(y.out(), a.get(), axis, false, stream_), "add");
  return y;
}

} // namespace stomp::mlx_exec
