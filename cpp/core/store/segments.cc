#include "store/segments.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "store/safetensors_writer.h"

namespace stomp {

namespace fs = std::filesystem;

namespace {

/// Names of the prefixes that the blocks of a segment end; none for one that
/// cannot be read or is another than its name says: those who use it tell.
std::vector<std::string> prefixes_in(
    const std::string& path,
    const std::string& name) {
  try {
    const AgentFileReader reader(path, "");
    const AgentFileHeader& h = reader.header();
    const auto all = prefix_names(h);
    if (!h.segment || all.empty() || all.back() != name) {
      return {};
    }
    return {all.begin() + reader.blocks().front().index, all.end()};
  } catch (const std::exception&) {
    return {};
  }
}

} // namespace

void Segments::scan(const std::map<std::string, std::string>& files) {
  read_folder();
  for (const auto& [agent, path] : files) {
    if (const auto segments = segments_used(path)) {
      use(agent, *segments);
    } else {
      all_uses_known_ = false;
    }
  }
  std::set<std::string> all;
  for (const auto& [name, segment] : segments_) {
    all.insert(name);
  }
  drop_unused(all);
}

void Segments::read_folder() {
  std::error_code error;
  std::vector<std::string> files;
  for (const fs::directory_entry& file :
       fs::directory_iterator(folder_, error)) {
    files.push_back(file.path().filename().string());
  }
  for (const std::string& file : files) {
    if (segment_of_file_name(file)) {
      read(file);
    } else if (is_writer_temporary(file)) {
      std::error_code ignored; // tried again at the next start
      fs::remove(folder_ + "/" + file, ignored);
    }
  }
}

void Segments::read(const std::string& file) {
  const std::string path = folder_ + "/" + file;
  const std::string name = *segment_of_file_name(file);
  std::error_code gone;
  const uint64_t bytes = fs::file_size(path, gone);
  // Known in any case, so that it goes when nobody uses it.
  add(name, prefixes_in(path, name), gone ? 0 : bytes);
}

std::vector<SegmentUse> Segments::covering(
    const std::vector<std::string>& names) const {
  std::vector<SegmentUse> uses;
  for (int i = 0; i < static_cast<int>(names.size()); i++) {
    const auto end = ends_.find(names[i]);
    if (end == ends_.end()) {
      break;
    }
    if (uses.empty() || uses.back().name != end->second) {
      uses.push_back({end->second, i, 0});
    }
    uses.back().blocks++;
  }
  return uses;
}

void Segments::add(
    const std::string& name,
    const std::vector<std::string>& names,
    uint64_t bytes) {
  Segment& segment = segments_[name];
  segment.bytes = bytes;
  for (const std::string& end : names) {
    ends_.emplace(end, name);
  }
}

void Segments::use(
    const std::string& agent,
    const std::vector<SegmentUse>& segments) {
  std::set<std::string> now;
  for (const SegmentUse& use : segments) {
    now.insert(use.name);
    segments_[use.name].agents.insert(agent);
  }
  std::set<std::string> before = std::move(used_by_[agent]);
  for (const std::string& name : now) {
    before.erase(name);
  }
  for (const std::string& name : before) {
    segments_[name].agents.erase(agent);
  }
  if (now.empty()) {
    used_by_.erase(agent);
  } else {
    used_by_[agent] = std::move(now);
  }
  drop_unused(before);
}

void Segments::pin(const std::vector<SegmentUse>& segments) {
  for (const SegmentUse& use : segments) {
    pinned_.insert(use.name);
  }
}

void Segments::unpin() {
  drop_unused(std::exchange(pinned_, {}));
}

void Segments::drop_unused(const std::set<std::string>& names) {
  if (!all_uses_known_) {
    return;
  }
  for (const std::string& name : names) {
    const auto found = segments_.find(name);
    if (found != segments_.end() && found->second.agents.empty() &&
        !pinned_.contains(name)) {
      remove(name);
    }
  }
}

/// A file that does not go now is found again at the next start.
void Segments::remove(const std::string& name) {
  std::error_code ignored;
  fs::remove(path_of(name), ignored);
  segments_.erase(name);
  distrust(name);
}

void Segments::distrust(const std::string& name) {
  std::erase_if(ends_, [&](const auto& end) { return end.second == name; });
}

uint64_t Segments::bytes() const {
  uint64_t total = 0;
  for (const auto& [name, segment] : segments_) {
    total += segment.bytes;
  }
  return total;
}

uint64_t Segments::saved_bytes() const {
  uint64_t total = 0;
  for (const auto& [name, segment] : segments_) {
    const size_t agents = segment.agents.size();
    total += agents > 1 ? (agents - 1) * segment.bytes : 0;
  }
  return total;
}

} // namespace stomp
