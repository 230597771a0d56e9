#include "store/checkpoint_files.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/json.h"

namespace stomp {

namespace fs = std::filesystem;

namespace {

constexpr const char* kIndex = "model.safetensors.index.json";

[[noreturn]] void
fail(const std::string& path, const std::string& why, Code code) {
  throw Error(code, path + ": " + why, {{"path", path}});
}

/// A file of this very directory: an index must not lead elsewhere.
bool plain_name(const std::string& name) {
  return name.size() > 12 && name.front() != '.' &&
      name.ends_with(".safetensors") && name.find('/') == std::string::npos &&
      name.find('\\') == std::string::npos &&
      name.find('\0') == std::string::npos;
}

std::vector<std::string> list(const std::string& directory) {
  std::vector<std::string> all;
  std::vector<std::string> model;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (plain_name(name)) {
      all.push_back(name);
      if (name.starts_with("model")) {
        model.push_back(name);
      }
    }
  }
  if (error) {
    fail(
        directory, "cannot be listed: " + error.message(), Code::kModelInvalid);
  }
  if (all.empty()) {
    fail(directory, "has no *.safetensors files", Code::kModelNotFound);
  }
  auto& chosen = model.empty() ? all : model;
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

Json parse_index(const std::string& path) {
  const MappedFile file(path);
  const auto* text = reinterpret_cast<const char*>(file.data());
  Json json = parse_json({text, file.size()}, path);
  const Json* map = json.find("weight_map");
  if (map == nullptr || !map->is_object() || map->members()->empty()) {
    fail(path, "'weight_map' is missing or empty", Code::kModelInvalid);
  }
  return *map;
}

std::vector<std::string> names_in(const Json& map, const std::string& path) {
  std::set<std::string> names;
  for (const auto& [tensor, file] : *map.members()) {
    if (file.string() == nullptr || !plain_name(*file.string())) {
      fail(
          path,
          "'" + tensor + "' is not mapped to a .safetensors file beside it",
          Code::kModelInvalid);
    }
    names.insert(*file.string());
  }
  return {names.begin(), names.end()};
}

} // namespace

CheckpointFiles::CheckpointFiles(const std::string& directory) {
  const std::string index = (fs::path(directory) / kIndex).string();
  std::error_code error;
  if (!fs::exists(index, error)) {
    open(directory, list(directory));
    return;
  }
  const Json map = parse_index(index);
  open(directory, names_in(map, index));
  check_index(map, index);
}

void CheckpointFiles::open(
    const std::string& directory,
    const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    files_.push_back(std::make_unique<SafetensorsFile>(
        (fs::path(directory) / name).string()));
    for (const SafetensorsTensor& t : files_.back()->tensors()) {
      const Place place{&t, files_.size() - 1};
      if (!tensors_.emplace(t.name, place).second) {
        fail(
            files_.back()->path(),
            "tensor '" + t.name + "' is in another file too",
            Code::kModelInvalid);
      }
    }
  }
}

void CheckpointFiles::check_index(const Json& map, const std::string& path)
    const {
  for (const auto& [tensor, file] : *map.members()) {
    const auto it = tensors_.find(tensor);
    const bool found = it != tensors_.end() &&
        fs::path(files_[it->second.file]->path()).filename() == *file.string();
    if (!found) {
      fail(
          path,
          "tensor '" + tensor + "' is not in " + *file.string(),
          Code::kModelInvalid);
    }
  }
}

const SafetensorsTensor* CheckpointFiles::find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it != tensors_.end() ? it->second.tensor : nullptr;
}

size_t CheckpointFiles::bytes() const {
  size_t n = 0;
  for (const auto& file : files_) {
    n += file->file().size();
  }
  return n;
}

} // namespace stomp
