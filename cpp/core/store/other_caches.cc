#include "store/other_caches.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "store/disk_tier.h"

namespace stomp {

namespace fs = std::filesystem;

namespace {

constexpr char kAside[] = ".corrupt";

std::string shared_folder(const std::string& folder) {
  return folder + "/shared";
}

bool ends_with(const std::string& text, const std::string& suffix) {
  return text.size() >= suffix.size() &&
      text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
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
    if (ends_with(name, kAside)) {
      aside_.push_back(path);
      bytes_ += found.bytes;
    } else if (agent && !own) {
      bytes_ += found.bytes;
      agents_.push_back(std::move(found));
    }
  }
  bytes_ += own ? 0 : bytes_in(shared_folder(folder));
}

bool OtherCaches::drop_one_aside() {
  if (aside_.empty()) {
    return false;
  }
  uint64_t bytes = 0;
  file_time_ms(aside_.back(), bytes);
  std::error_code ignored; // counted as gone: nothing else can be done about it
  fs::remove(aside_.back(), ignored);
  aside_.pop_back();
  bytes_ -= std::min(bytes, bytes_);
  return true;
}

std::optional<int64_t> OtherCaches::oldest_use() const {
  const auto oldest = std::min_element(
      agents_.begin(), agents_.end(), [](const File& a, const File& b) {
        return a.used_ms < b.used_ms;
      });
  return oldest == agents_.end() ? std::nullopt
                                 : std::optional(oldest->used_ms);
}

void OtherCaches::demote_oldest() {
  const auto oldest = std::min_element(
      agents_.begin(), agents_.end(), [](const File& a, const File& b) {
        return a.used_ms < b.used_ms;
      });
  const File file = *oldest;
  agents_.erase(oldest);
  const std::string path = file.folder + "/" + agent_file_name(file.agent);
  try {
    AgentFileHeader header =
        cold_header(AgentFileReader(path, shared_folder(file.folder)).header());
    AgentFileWriter writer(path, header);
    const uint64_t left = writer.finish();
    bytes_ -= std::min(bytes_, file.bytes - std::min(file.bytes, left));
    bytes_ -= std::min(bytes_, sweep_segments(file.folder));
  } catch (const Error&) {
    // Said when its own model is loaded; it keeps its bytes until then.
  }
}

/// Removes what no agent there uses any longer; how many bytes that was.
uint64_t OtherCaches::sweep_segments(const std::string& folder) const {
  const uint64_t before = bytes_in(shared_folder(folder));
  if (before == 0) {
    return 0;
  }
  std::map<std::string, std::vector<SegmentUse>> uses;
  std::error_code error;
  for (const fs::directory_entry& file :
       fs::directory_iterator(folder, error)) {
    const std::string name = file.path().filename().string();
    if (const auto agent = agent_of_file_name(name)) {
      uses[*agent] = segments_used(file.path().string());
    }
  }
  Segments(shared_folder(folder)).scan(uses);
  return before - bytes_in(shared_folder(folder));
}

} // namespace stomp
