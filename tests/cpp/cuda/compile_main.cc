// Compiles the kernels of cuda/ with NVRTC, in the text and with the options
// that MLX gives it (mlx/backend/cuda/custom_kernel.cpp, jit_module.cpp): no
// GPU is needed for that. scripts/check-cuda.mjs says where everything is.
//
//   stomp_cuda_compile <libnvrtc> <include folder>...
//
// One line for each GPU, element type and shape: registers, and bytes that
// were spilled. The exit status is 1 when a text is refused or spills.
#include <dlfcn.h>

#include <cstdio>
#include <map>
#include <memory>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

#include "exec/mlx/cuda_kernels.h"

using namespace stomp::mlx_exec;

namespace {

/// As <nvrtc.h> declares them; NVRTC is there at run time only.
struct Nvrtc {
  using Program = struct Opaque*;
  int (*create)(
      Program*,
      const char* text,
      const char* name,
      int n_headers,
      const char* const* headers,
      const char* const* names);
  int (*add_name)(Program, const char*);
  int (*compile)(Program, int n, const char* const* options);
  int (*log_size)(Program, size_t*);
  int (*log)(Program, char*);
  int (*lowered)(Program, const char* name, const char** lowered);
  int (*cubin_size)(Program, size_t*);
  int (*destroy)(Program*);

  explicit Nvrtc(const char* path) : library_(dlopen(path, RTLD_NOW)) {
    if (!library_) {
      throw std::runtime_error(dlerror());
    }
    find(create, "nvrtcCreateProgram");
    find(add_name, "nvrtcAddNameExpression");
    find(compile, "nvrtcCompileProgram");
    find(log_size, "nvrtcGetProgramLogSize");
    find(log, "nvrtcGetProgramLog");
    find(lowered, "nvrtcGetLoweredName");
    find(cubin_size, "nvrtcGetCUBINSize");
    find(destroy, "nvrtcDestroyProgram");
  }

 private:
  template <typename F>
  void find(F& function, const char* name) {
    function = reinterpret_cast<F>(dlsym(library_, name));
    if (!function) {
      throw std::runtime_error(std::string("NVRTC has no ") + name);
    }
  }
  void* library_;
};

struct Type {
  metal::Element element;
  const char* name; // as CUDA has it
};

constexpr Type kTypes[] = {
    {metal::Element::kF16, "__half"},
    {metal::Element::kBf16, "__nv_bfloat16"}};

/// As MLX names them: "a" from compute capability 9 on.
constexpr const char* kGpus[] = {"sm_80", "sm_90a", "sm_100a", "sm_120a"};

struct Case {
  int head_dim;
  int ratio;
  int bits;
  int group;
  bool sinks;
};

constexpr Case kCases[] = {
    {64, 1, 16, 64, false},
    {64, 8, 16, 64, true},
    {80, 1, 16, 64, false},
    {128, 4, 16, 64, false},
    {128, 7, 8, 64, false},
    {128, 4, 4, 64, true},
    {96, 2, 4, 32, false},
    {256, 2, 16, 64, false},
    {256, 2, 8, 64, false}};

/// Of scales and biases, which are there for codes alone.
bool is_scale(const std::string& buffer) {
  return buffer.ends_with("_scales") || buffer.ends_with("_biases");
}

std::string type_of(const std::string& buffer, const Type& type, int bits) {
  static const std::map<std::string, const char*> fixed{
      {"rows", "int32_t"},
      {"block_ids", "int32_t"},
      {"params", "int32_t"},
      {"partial_out", "float"},
      {"partial_sum", "float"}};
  const auto found = fixed.find(buffer);
  if (found != fixed.end()) {
    return found->second;
  }
  if (bits < 16 && (buffer == "keys" || buffer == "values")) {
    return "uint32_t";
  }
  return bits < 16 && is_scale(buffer) ? "__half" : type.name;
}

std::string text_of(
    const cuda::Kernel& kernel,
    const metal::Constants& constants,
    const Type& type,
    int bits) {
  std::string text =
      "\n#include \"mlx/backend/cuda/device/utils.cuh\"\n\n"
      "#include <cooperative_groups.h>\n\n" +
      kernel.functions +
      "namespace mlx::core::cu {\n\nnamespace cg = cooperative_groups;\n\n"
      "__global__ void " +
      kernel.name + "(\n";
  for (const std::string name : kernel.inputs) {
    text += "    const " + type_of(name, type, bits) + "* " + name + ",\n";
  }
  std::string separator;
  for (const std::string name : kernel.outputs) {
    text += separator + "    " + type_of(name, type, bits) + "* " + name;
    separator = ",\n";
  }
  text += ") {\n  using T = " + std::string(type.name) + ";\n";
  for (const cuda::Constant& constant : cuda::constants_of(constants)) {
    text += std::string("  constexpr ") +
        (constant.is_bool ? "bool " : "int ") + constant.name + " = " +
        std::to_string(constant.value) + ";\n";
  }
  return text + "\n" + kernel.body + "\n}\n\n} // namespace mlx::core::cu\n";
}

struct Outcome {
  std::string log;
  size_t bytes = 0; // of machine code
};

Outcome compile(
    const Nvrtc& nvrtc,
    const std::string& text,
    const std::string& name,
    const std::vector<std::string>& options) {
  Nvrtc::Program program{};
  const std::string file = name + ".cu";
  nvrtc.create(&program, text.c_str(), file.c_str(), 0, nullptr, nullptr);
  const std::string full = "mlx::core::cu::" + name;
  nvrtc.add_name(program, full.c_str());
  std::vector<const char*> arguments;
  for (const std::string& option : options) {
    arguments.push_back(option.c_str());
  }
  const int rc = nvrtc.compile(
      program, static_cast<int>(arguments.size()), arguments.data());
  Outcome outcome;
  size_t size = 0;
  nvrtc.log_size(program, &size);
  outcome.log.resize(size);
  nvrtc.log(program, outcome.log.data());
  const char* lowered = nullptr;
  const bool found =
      rc == 0 && nvrtc.lowered(program, full.c_str(), &lowered) == 0;
  if (found) {
    nvrtc.cubin_size(program, &outcome.bytes);
  }
  nvrtc.destroy(&program);
  return outcome;
}

/// What ptxas says after `key`, as a number; -1: nothing.
int said(const std::string& log, const std::string& pattern) {
  std::smatch match;
  return std::regex_search(log, match, std::regex(pattern))
      ? std::stoi(match[1])
      : -1;
}

bool report(const std::string& what, const Outcome& outcome) {
  const int registers = said(outcome.log, "Used (\\d+) registers");
  const int spilled = said(outcome.log, "(\\d+) bytes spill stores");
  if (outcome.bytes == 0) {
    std::printf("FAIL  %s\n%s\n", what.c_str(), outcome.log.c_str());
    return false;
  }
  std::printf(
      "%s  %s: %d registers, %d bytes spilled, %zu bytes\n",
      spilled == 0 ? "ok  " : "FAIL",
      what.c_str(),
      registers,
      spilled,
      outcome.bytes);
  return spilled == 0;
}

/// Both kernels of a case, for one GPU and type; how many fail.
int try_case(
    const Nvrtc& nvrtc,
    const Case& one,
    const Type& type,
    std::vector<std::string> options) {
  const metal::Attention attention{
      .cache =
          {.element = type.element,
           .kv_heads = 2,
           .head_dim = one.head_dim,
           .block_tokens = 64,
           .bits = one.bits,
           .group = one.group},
      .n_heads = 2 * one.ratio,
      .sinks = one.sinks};
  const paged::DecodeRow row{
      .query = 0, .blocks = 0, .base = 0, .first = 0, .end = 1000};
  const metal::DecodePlan plan = metal::plan_decode(attention, {&row, 1});
  int failed = 0;
  for (const cuda::Kernel* kernel :
       {&cuda::decode_kernel(), &cuda::combine_kernel()}) {
    const std::string what = std::string(kernel->name) + ", " + options[0] +
        ", " + type.name + ", " + std::to_string(one.bits) + " bits, " +
        std::to_string(one.ratio) + " heads of " +
        std::to_string(one.head_dim) + (one.sinks ? ", sinks" : "");
    const Outcome outcome = compile(
        nvrtc,
        text_of(*kernel, plan.decode.constants, type, one.bits),
        kernel->name,
        options);
    failed += report(what, outcome) ? 0 : 1;
  }
  return failed;
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s <libnvrtc> <include>...\n", argv[0]);
    return 2;
  }
  try {
    const Nvrtc nvrtc(argv[1]);
    int n = 0;
    int failed = 0;
    for (const char* gpu : kGpus) {
      std::vector<std::string> options{
          std::string("--gpu-architecture=") + gpu,
          "--device-as-default-execution-space",
          "--ptxas-options=-v"};
      for (int i = 2; i < argc; i++) {
        options.push_back(std::string("--include-path=") + argv[i]);
      }
      // Every second one has the other type, and on the next GPU it has not.
      for (const Case& one : kCases) {
        failed += try_case(nvrtc, one, kTypes[n / 2 % 2], options);
        n += 2;
      }
    }
    std::printf("%d passed, %d failed\n", n - failed, failed);
    return failed == 0 ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
