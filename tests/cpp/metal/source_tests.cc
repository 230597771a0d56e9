// What the texts of metal/ say of themselves: names, numbers of buffers and
// constants, against what the launch plans say of them.
#include <algorithm>
#include <regex>
#include <set>

#include "check.h"
#include "exec/mlx/metal_launch.h"
#include "exec/mlx/metal_sources.h"

using namespace stomp::mlx_exec;

namespace {

struct Parameter {
  std::string name;
  std::string attribute; // "buffer(0)"
};

/// The parameters of a kernel of the library, in order.
std::vector<Parameter> parameters_of(
    const std::string& text,
    const std::string& kernel) {
  const size_t at = text.find("[[kernel]] void " + kernel + "(");
  CHECK(at != std::string::npos);
  const std::string list = text.substr(at, text.find(") {", at) - at);
  static const std::regex one(
      R"((\w+)\s+(?:\[\[(\w+(?:\(\d+\))?)\]\]|(PAGED_SHARED\(\d+\))))");
  std::vector<Parameter> all;
  for (std::sregex_iterator i(list.begin(), list.end(), one), end; i != end;
       ++i) {
    all.push_back({(*i)[1], (*i)[2].matched ? (*i)[2] : (*i)[3]});
  }
  return all;
}

std::string number(const char* what, size_t i) {
  return std::string(what) + "(" + std::to_string(i) + ")";
}

const char* const kPosition[] = {
    "threadgroup_position_in_grid",
    "thread_index_in_threadgroup",
    "thread_index_in_simdgroup",
    "simdgroup_index_in_threadgroup",
    "simdgroups_per_threadgroup"};

/// The kernel's parameters are the launch's buffers, its threadgroup memories
/// and the position, each with its number.
void check_kernel(const std::string& text, const metal::Launch& launch) {
  const std::string& f = launch.function;
  const std::string kernel = f.substr(0, f.rfind('_'));
  CHECK(
      text.find("PAGED_KERNEL_FOR_ELEMENTS(\"" + kernel + "\"") !=
          std::string::npos ||
      text.find("PAGED_KERNEL(\"" + f + "\"") != std::string::npos);
  const std::vector<Parameter> all = parameters_of(text, kernel);
  const size_t buffers = launch.buffers.size();
  const size_t shared = launch.threadgroup_bytes.size();
  CHECK_EQUAL(all.size(), buffers + shared + std::size(kPosition));
  for (size_t i = 0; i < buffers; i++) {
    CHECK_EQUAL(all[i].name, launch.buffers[i]);
    CHECK_EQUAL(all[i].attribute, number("buffer", i));
  }
  for (size_t i = 0; i < shared; i++) {
    CHECK_EQUAL(all[buffers + i].attribute, number("PAGED_SHARED", i));
  }
  for (size_t i = 0; i < std::size(kPosition); i++) {
    CHECK_EQUAL(all[buffers + shared + i].attribute, kPosition[i]);
  }
}

metal::Attention attention() {
  metal::Attention a;
  a.cache = {metal::Element::kF16, 2, 64, 16, 16, 64};
  a.n_heads = 8;
  return a;
}

} // namespace

TEST("metal: kernels and plans agree on names and numbers of buffers") {
  const std::string text = metal_library();
  const metal::Attention a = attention();
  const std::vector<paged::DecodeRow> rows(1);
  const std::vector<paged::BlockMove> moves(1);
  const metal::DecodePlan decode = metal::plan_decode(a, rows);
  check_kernel(text, metal::plan_append(a.cache, 1, 128).launch);
  check_kernel(text, metal::plan_copy(a.cache, 2, moves).launch);
  check_kernel(text, metal::plan_copy(a.cache, 4, moves).launch);
  check_kernel(text, metal::plan_copy(a.cache, 16, moves).launch);
  check_kernel(text, metal::plan_gather(a.cache, 0, 1).launch);
  check_kernel(text, decode.decode);
  check_kernel(text, decode.combine);
  check_kernel(text, metal::plan_prefill(a, 1).launch);
}

TEST("metal: kernels and plans agree on the numbers of constants") {
  const std::string text = metal_library();
  const auto constants = metal::function_constants({});
  for (size_t i = 0; i < constants.size(); i++) {
    const std::string declared = std::string("constant ") +
        (constants[i].is_bool ? "bool " : "int ") + constants[i].name + " [[" +
        number("function_constant", i) + "]];";
    CHECK(text.find(declared) != std::string::npos);
  }
}

TEST("metal: the library is one text without includes of ours, in ASCII") {
  const std::string text = metal_library();
  CHECK(text.find("#include \"") == std::string::npos);
  CHECK(text.find("#pragma once") == std::string::npos);
  CHECK(text.find("#include <metal_stdlib>") != std::string::npos);
  CHECK(std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 128;
  }));
}

TEST("metal: each file comes after those that it includes") {
  std::set<std::string> seen;
  for (const MetalSource& source : metal_sources()) {
    const std::string text(source.text);
    static const std::regex include("#include \"([^\"]+)\"");
    for (std::sregex_iterator i(text.begin(), text.end(), include), end;
         i != end;
         ++i) {
      CHECK(seen.count((*i)[1]) == 1);
    }
    CHECK(seen.insert(std::string(source.name)).second);
  }
  CHECK_EQUAL(seen.size(), 6u);
}
