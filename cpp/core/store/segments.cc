#include "store/segments.h"

#include <algorithm>
#include <filesystem>

namespace stomp {

namespace fs = std::filesystem;

void Segments::scan(
    const std::map<std::string, std::vector<SegmentUse>>& uses) {
  std::error_code error;
  std::vector<std::string> files;
  for (const fs::directory_entry& file :
       fs::directory_iterator(folder_, error)) {
    files.push_back(file.path().filename().string());
  }
  for (const std::string& file : files) {
    if (segment_of_file_name(file)) {
      read(file);
    } else {
      std::error_code ignored; // tried again at the next start
      fs::remove(folder_ + "/" + file, ignored);
    }
  }
  for (const auto& [agent, segments] : uses) {
    use(agent, segments);
  }
  std::set<std::string> all;
  for (const auto& [name, segment] : segments_) {
    all.insert(name);
  }
  drop_unused(all);
}

/// A segment that cannot be read is left to those who use it: they say so.
void Segments::read(const std::string& file) {
  const std::string path = folder_ + "/" + file;
  const std::string name = *segment_of_file_name(file);
  segments_[name]; // known, so that it goes when nobody uses it
  try {
    const AgentFileReader reader(path, "");
    const AgentFileHeader& h = reader.header();
    const int end = static_cast<int>(h.tokens.size()) / h.spec.block_tokens;
    const auto all = prefix_names(h, end);
    if (!h.segment || all.empty() || all.back() != name) {
      return;
    }
    const int first = reader.blocks().front().index;
    add(name,
        {all.begin() + first, all.end()},
        static_cast<uint64_t>(fs::file_size(path)));
  } catch (const std::exception&) {
    // Not to be used anew.
  }
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
  forget_ends(name);
}

void Segments::forget_ends(const std::string& name) {
  std::erase_if(ends_, [&](const auto& end) { return end.second == name; });
}

void Segments::distrust(const std::string& agent) {
  const auto used = used_by_.find(agent);
  if (used != used_by_.end()) {
    for (const std::string& name : used->second) {
      forget_ends(name);
    }
  }
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
