#include "store/other_caches.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "store/disk_tier.h"
#include "store/safetensors_writer.h"

namespace stomp {

namespace fs = std::filesystem;

namespace {

std::string shared_folder(const std::string& folder) {
  return folder + "/shared";
}

/// Whether an agent's file was set aside under this name.
bool is_aside(const std::string& name) {
  return name.ends_with(kAside) &&
      agent_of_file_name(name.substr(0, name.size() + 1 - sizeof kAside));
}

uint64_t bytes_in(const std::string& folder) {
  uint64_t total = 0;
  std::error_code error;
  for (const fs::directory_entry& file :
       fs::directory_iterator(folder, error)) {
    std::error_code gone;
    const uint64_t bytes = file.file_size(gone);
    total += gone ? 0 : bytes;
  }
  return total;
}

} // namespace

int64_t file_time_ms(const std::string& path, uint64_t& bytes) {
  struct stat s{};
  if (::stat(path.c_str(), &s) != 0) {
    bytes = 0;
    return 0;
  }
  bytes = static_cast<uint64_t>(s.st_size);
#if defined(__APPLE__)
  const timespec& time = s.st_mtimespec;
#else
  const timespec& time = s.st_mtim;
#endif
  return static_cast<int64_t>(time.tv_sec) * 1000 + time.tv_nsec / 1'000'000;
}

OtherCaches::OtherCaches(const std::string& root, const std::string& own) {
  std::error_code error;
  for (const fs::directory_entry& folder :
       fs::directory_iterator(root, error)) {
    std::error_code ignored;
    if (folder.is_directory(ignored)) {
      const std::string path = folder.path().string();
      add_folder(path, fs::equivalent(path, own, ignored));
    }
  }
}

void OtherCaches::add_folder(const std::string& folder, bool own) {
  std::error_code error;
  for (const fs::directory_entry& file :
       fs::directory_iterator(folder, error)) {
    const std::string path = file.path().string();
    const std::string name = file.path().filename().string();
    const auto agent = agent_of_file_name(name);
    File found{folder, agent.value_or(""), 0, 0};
    found.used_ms = file_time_ms(path, found.bytes);
    if (is_aside(name)) {
      add_aside(path);
    } else if (is_writer_temporary(name)) {
      std::error_code ignored; // tried again at the next start
      fs::remove(path, ignored);
    } else if (agent && !own) {
      bytes_ += found.bytes;
      agents_.push_back(std::move(found));
    }
  }
  bytes_ += own ? 0 : bytes_in(shared_folder(folder));
}

void OtherCaches::add_aside(const std::string& path) {
  uint64_t& bytes = aside_[path]; // perhaps in the place of an earlier one
  bytes_ -= bytes;
  file_time_ms(path, bytes);
  bytes_ += bytes;
}

bool OtherCaches::drop_one_aside() {
  if (aside_.empty()) {
    return false;
  }
  const auto [path, bytes] = *aside_.begin();
  std::error_code ignored; // counted as gone: nothing else can be done about it
  fs::remove(path, ignored);
  aside_.erase(path);
  bytes_ -= bytes;
  return true;
}

std::vector<OtherCaches::File>::iterator OtherCaches::oldest() {
  return std::ranges::min_element(agents_, {}, &File::used_ms);
}

std::optional<int64_t> OtherCaches::oldest_use() {
  const auto found = oldest();
  return found == agents_.end() ? std::nullopt : std::optional(found->used_ms);
}

bool OtherCaches::demote_oldest() {
  const auto found = oldest();
  const File file = std::move(*found);
  agents_.erase(found);
  try {
    const std::string path = file.folder + "/" + agent_file_name(file.agent);
    const AgentFileReader reader(path, shared_folder(file.folder));
    if (reader.header().cold) {
      return false;
    }
    AgentFileWriter writer(path, cold_header(reader.header()));
    const uint64_t left = writer.finish();
    bytes_ -= std::min(bytes_, file.bytes - std::min(file.bytes, left));
  } catch (const Error&) {
    return false; // said when its own model is loaded
  }
  release_segments(file);
  return true;
}

/// What no agent there uses any longer goes.
void OtherCaches::release_segments(const File& file) {
  const std::string folder = shared_folder(file.folder);
  const uint64_t before = bytes_in(folder);
  if (before == 0) {
    return;
  }
  segments_of(file.folder).use(file.agent, {});
  bytes_ -= std::min(bytes_, before - bytes_in(folder));
}

/// Read once: nobody else changes them.
Segments& OtherCaches::segments_of(const std::string& folder) {
  const auto known = segments_.find(folder);
  if (known != segments_.end()) {
    return known->second;
  }
  std::map<std::string, std::string> files;
  std::error_code error;
  for (const fs::directory_entry& file :
       fs::directory_iterator(folder, error)) {
    if (const auto agent =
            agent_of_file_name(file.path().filename().string())) {
      files[*agent] = file.path().string();
    }
  }
  Segments& segments =
      segments_.emplace(folder, Segments(shared_folder(folder))).first->second;
  segments.scan(files);
  return segments;
}

} // namespace stomp
