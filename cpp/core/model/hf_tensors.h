// Hands out the tensors of a safetensors checkpoint under the shapes that
// config.json says they have, and remembers which. One user, while a model is
// opened.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/hf_config.h"
#include "model/weights.h"
#include "store/checkpoint_files.h"

namespace stomp {

/// All throw kModelInvalid, and kModelUnsupported naming what is.
class HfTensors {
 public:
  /// REQUIRES: the arguments outlive this and the weights.
  HfTensors(
      const CheckpointFiles& files,
      const HfConfig& config,
      const std::string& directory)
      : files_(files), config_(config), directory_(directory) {}

  bool has(const std::string& name) const {
    return files_.find(name) != nullptr;
  }

  /// Dense, or quantised when scales lie beside the weights.
  WeightMatrix matrix(const std::string& module, int rows, int cols);
  /// n of them, in one tensor (n, rows, cols).
  std::vector<WeightMatrix>
  matrices(const std::string& module, int n, int rows, int cols);
  /// n matrices of MXFP4 as OpenAI writes them: `name` with _blocks, of bytes
  /// (n, rows, cols / 32, 16), and with _scales (n, rows, cols / 32).
  std::vector<WeightMatrix>
  blocks(const std::string& name, int n, int rows, int cols);

  WeightVector vector(const std::string& name, int size);
  /// n of them, in one tensor (n, size).
  std::vector<WeightVector> vectors(const std::string& name, int n, int size);
  /// A norm's weights.
  WeightVector norm(const std::string& module, int size);

  /// What the names of the language model's tensors begin with: a model that
  /// also sees images has other parts beside it.
  std::string root() const;
  /// The head's module.
  std::string head() const;

  /// Part of the checkpoint that the model does not use.
  void ignore(const std::string& module) { ignored_.push_back(module); }
  void refuse_rest() const;
  /// Throws kModelUnsupported.
  [[noreturn]] void refuse(const std::string& why) const;

 private:
  using Shape = std::vector<uint64_t>;

  [[noreturn]] void fail(Code code, const std::string& why) const;
  bool ignored(const std::string& name) const;
  const SafetensorsTensor& take(const std::string& name, const Shape& expected);
  WeightFormat floating(const SafetensorsTensor& t) const;
  MatrixFormat format_of(const std::string& module, int cols) const;
  WeightMatrix all(const std::string& module, int n, int rows, int cols);
  WeightMatrix quantised(const std::string& module, int n, int rows, int cols);

  const CheckpointFiles& files_;
  const HfConfig& config_;
  const std::string& directory_;
  std::set<std::string_view> taken_; // names in files_
  std::vector<std::string> ignored_;
};

} // namespace stomp
