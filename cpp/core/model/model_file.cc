#include "model/model_file.h"

#include <filesystem>
#include <type_traits>

#include "base/error.h"
#include "model/load.h"
#include "store/gguf_reader.h"

namespace stomp {

static_assert(std::is_same_v<MetaValue, GgufValue>);

std::shared_ptr<const Model> open_model(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    throw Error(
        Code::kModelNotFound,
        path +
            ": no such file or directory; give a .gguf file or a directory "
            "with config.json and *.safetensors",
        {{"path", path}});
  }
  const bool directory = std::filesystem::is_directory(status);
  auto model = std::make_shared<Model>(
      directory ? load_hf_directory(path) : load_gguf(path));
  model->path = path;
  return model;
}

std::vector<std::pair<std::string, MetaValue>> read_gguf_metadata(
    const std::string& path) {
  const GgufFile file(path);
  std::vector<std::pair<std::string, MetaValue>> out;
  out.reserve(file.metadata().size());
  for (const GgufEntry& entry : file.metadata()) {
    out.emplace_back(entry.key, file.value(entry));
  }
  return out;
}

} // namespace stomp
