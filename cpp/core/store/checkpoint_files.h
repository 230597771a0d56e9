// The safetensors files of one checkpoint directory, as one set of tensors.
// Immutable; any thread may read.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "store/safetensors_reader.h"

namespace stomp {

class Json;

class CheckpointFiles {
 public:
  /// The files that model.safetensors.index.json names, else
  /// model*.safetensors, else *.safetensors. Throws kModelNotFound when there
  /// are none, kModelInvalid when they contradict the index or each other.
  explicit CheckpointFiles(const std::string& directory);

  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const {
    return files_;
  }
  /// Null when absent.
  const SafetensorsTensor* find(std::string_view name) const;
  size_t bytes() const;

 private:
  void open(
      const std::string& directory,
      const std::vector<std::string>& names);
  void check_index(const Json& weight_map, const std::string& path) const;

  struct Place {
    const SafetensorsTensor* tensor;
    size_t file; // index into files_
  };
  std::vector<std::unique_ptr<SafetensorsFile>> files_; // sorted by name
  std::unordered_map<std::string_view, Place> tensors_;
};

} // namespace stomp
