#include "store/disk_tier.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/sync.h"
#include "store/safetensors_writer.h"

namespace stomp {

namespace fs = std::filesystem;

namespace {

constexpr char kSuffix[] = ".safetensors";

Error persistence_error(const std::string& what, const std::string& path) {
  return Error(
      Code::kCachePersistence,
      what + " " + path + ": " + std::strerror(errno),
      {{"path", path}});
}

void make_folder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) {
    throw Error(
        Code::kCachePersistence,
        "Cannot create the cache folder " + path + ": " + error.message() +
            ". Choose another folder (--cache-dir, cacheDir).",
        {{"path", path}});
  }
}

/// The lock is held as long as the descriptor is open, also across kill -9.
int lock_folder(const std::string& root) {
  const std::string path = root + "/.lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    throw persistence_error("Cannot open the lock file", path);
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const ssize_t n = ::pread(fd, holder, sizeof(holder) - 1, 0);
    ::close(fd);
    throw Error(
        Code::kCacheInUse,
        "The cache folder " + root + " is in use by process " +
            (n > 0 ? std::string(holder) : std::string("unknown")) +
            ". Stop it, or choose another folder (--cache-dir, cacheDir).",
        {{"path", root}, {"pid", holder}});
  }
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(fd, 0) != 0 ||
      ::pwrite(fd, pid.data(), pid.size(), 0) !=
          static_cast<ssize_t>(pid.size())) {
    const Error error = persistence_error("Cannot write the lock file", path);
    ::close(fd);
    throw error;
  }
  return fd;
}

} // namespace

std::string agent_file_name(const std::string& agent) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string name = agent;
  std::vector<int> upper((agent.size() + 3) / 4, 0);
  for (size_t i = 0; i < agent.size(); i++) {
    if (agent[i] >= 'A' && agent[i] <= 'Z') {
      name[i] = static_cast<char>(agent[i] - 'A' + 'a');
      upper[i / 4] |= 1 << i % 4;
    }
  }
  while (!upper.empty() && upper.back() == 0) {
    upper.pop_back();
  }
  if (!upper.empty()) {
    name += '=';
  }
  for (const int digit : upper) {
    name += kDigits[digit];
  }
  return name + kSuffix;
}

std::optional<std::string> agent_of_file_name(const std::string& name) {
  if (!name.ends_with(kSuffix) || name.front() == '.') {
    return std::nullopt;
  }
  const std::string stem = name.substr(0, name.size() + 1 - sizeof kSuffix);
  const size_t mark = std::min(stem.find('='), stem.size());
  std::string agent = stem.substr(0, mark);
  for (size_t i = mark + 1; i < stem.size(); i++) {
    const int digit = stem[i] <= '9' ? stem[i] - '0' : stem[i] - 'a' + 10;
    for (size_t j = 0; j < 4; j++) {
      const size_t at = (i - mark - 1) * 4 + j;
      if ((digit >> j & 1) && at < agent.size()) {
        agent[at] = static_cast<char>(agent[at] - 'a' + 'A');
      }
    }
  }
  // What is no id, or not written as it should be, does not come back.
  return agent_file_name(agent) == name ? std::optional(agent) : std::nullopt;
}

DiskTier::DiskTier(
    const std::string& root,
    const std::string& fingerprint,
    std::function<void()> wake)
    : folder_(root + "/" + fingerprint), segments_(folder_ + "/shared") {
  make_folder(folder_);
  lock_ = lock_folder(root);
  try {
    scan();
    others_.emplace(root, folder_);
    writer_ = std::make_unique<DiskWriter>(std::move(wake));
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

DiskTier::~DiskTier() {
  writer_.reset();
  ::close(lock_);
}

void DiskTier::scan() {
  std::error_code error;
  for (const fs::directory_entry& file :
       fs::directory_iterator(folder_, error)) {
    const std::string name = file.path().filename().string();
    if (is_writer_temporary(name)) {
      std::error_code ignored; // it will be tried again at the next start
      fs::remove(file.path(), ignored);
      continue;
    }
    if (const std::optional<std::string> agent = agent_of_file_name(name)) {
      Entry& entry = entries_[*agent];
      entry.used_ms = file_time_ms(file.path().string(), entry.bytes);
    }
  }
  if (error) {
    throw Error(
        Code::kCachePersistence,
        "Cannot read the cache folder " + folder_ + ": " + error.message());
  }
  if (fs::exists(segments_.folder(), error)) {
    std::map<std::string, std::string> files;
    for (const auto& [agent, entry] : entries_) {
      files[agent] = path_of(agent);
    }
    segments_.scan(files);
  }
}

std::string DiskTier::path_of(const std::string& agent) const {
  return folder_ + "/" + agent_file_name(agent);
}

std::unique_ptr<AgentFileReader> DiskTier::open(const std::string& agent) {
  std::unique_ptr<AgentFileReader> kept = take_kept(agent);
  // Another program may have changed the folder.
  if (!kept || !kept->current()) {
    kept = verified_or_aside(agent);
  }
  // Its time says when it was used, also to the next process.
  ::utimensat(AT_FDCWD, path_of(agent).c_str(), nullptr, 0);
  Entry& entry = entries_[agent];
  entry.used_ms = file_time_ms(path_of(agent), entry.bytes);
  return kept;
}

const AgentFileReader& DiskTier::look(const std::string& agent) {
  std::unique_ptr<AgentFileReader> kept = take_kept(agent);
  kept_ = kept && kept->current() ? std::move(kept) : verified(agent);
  return *kept_;
}

std::unique_ptr<AgentFileReader> DiskTier::look_once(const std::string& agent) {
  return verified(agent);
}

/// The kept file if it is this agent's, else null and left where it is.
std::unique_ptr<AgentFileReader> DiskTier::take_kept(const std::string& agent) {
  return kept_ && kept_->header().agent == agent ? std::move(kept_) : nullptr;
}

std::unique_ptr<AgentFileReader> DiskTier::verified(const std::string& agent) {
  auto file =
      std::make_unique<AgentFileReader>(path_of(agent), segments_.folder());
  if (file->header().agent != agent || file->header().segment) {
    throw Error(
        Code::kCacheCorrupt,
        "the cache file belongs to agent '" + file->header().agent + "'");
  }
  Entry& entry = entries_[agent];
  entry.tokens = static_cast<int>(file->header().tokens.size());
  entry.cold = file->header().cold;
  if (file->lack()) {
    segments_.distrust(file->lack()->segment);
  }
  return file;
}

std::unique_ptr<AgentFileReader> DiskTier::verified_or_aside(
    const std::string& agent) {
  try {
    return verified(agent);
  } catch (const Error& error) {
    if (is_unreadable(error)) {
      set_aside(agent);
    }
    throw;
  }
}

int DiskTier::tokens(const std::string& agent) {
  if (entries_.at(agent).tokens < 0) {
    try {
      verified(agent);
    } catch (const Error&) {
      return 0; // said where the agent is used
    }
  }
  return entries_.at(agent).tokens;
}

void DiskTier::set_aside(const std::string& agent) {
  take_kept(agent);
  const std::string path = path_of(agent);
  std::error_code error;
  fs::rename(path, path + kAside, error);
  if (error) {
    fs::remove(path, error);
  } else {
    others_->add_aside(path + kAside);
  }
  entries_.erase(agent);
  bytes_.reset();
  segments_.use(agent, {});
}

void DiskTier::remove(const std::string& agent) {
  take_kept(agent);
  std::error_code error;
  fs::remove(path_of(agent), error);
  if (error) {
    throw Error(
        Code::kCachePersistence,
        "Cannot remove " + path_of(agent) + ": " + error.message());
  }
  entries_.erase(agent);
  bytes_.reset();
  segments_.use(agent, {});
  if (const int number = sync_directory(folder_); number != 0) {
    errno = number;
    throw persistence_error("Cannot flush the cache folder", folder_);
  }
}

void DiskTier::begin(AgentFileHeader header) {
  under_way_ = header;
  std::string path = path_of(header.agent);
  if (header.segment) {
    make_folder(segments_.folder());
    sync_directory(folder_);
    prefixes_ = prefix_names(header);
    path = segments_.path_of(prefixes_.back());
  }
  writer_->begin(std::move(path), std::move(header));
}

uint64_t DiskTier::bytes() const {
  if (!bytes_) {
    bytes_ = segments_.bytes() + others_->bytes();
    for (const auto& [agent, entry] : entries_) {
      *bytes_ += entry.bytes;
    }
  }
  return *bytes_;
}

std::optional<std::string> DiskTier::least_recent(
    const std::function<bool(const std::string&)>& may_go) const {
  const std::string* oldest = nullptr;
  int64_t used = 0;
  for (const auto& [agent, entry] : entries_) {
    if (!entry.cold && !entry.stays && (!oldest || entry.used_ms < used) &&
        may_go(agent)) {
      oldest = &agent;
      used = entry.used_ms;
    }
  }
  return oldest ? std::optional(*oldest) : std::nullopt;
}

void DiskTier::let_stay(const std::string& agent) {
  const auto found = entries_.find(agent);
  if (found != entries_.end()) {
    found->second.stays = true;
  }
}

void DiskTier::push(std::vector<std::byte> block) {
  writer_->push(std::move(block));
}

void DiskTier::abandon(Error why) {
  writer_->abandon(std::move(why));
}

std::optional<DiskTier::Result> DiskTier::poll() {
  std::optional<Result> result = writer_->poll();
  if (result && !result->error) {
    written(result->bytes);
  } else if (result) {
    take_kept(under_way_.agent);
  }
  return result;
}

/// The file under way is there now.
void DiskTier::written(uint64_t bytes) {
  const AgentFileHeader& h = under_way_;
  bytes_.reset();
  if (h.segment) {
    const int first = h.blocks.front().index;
    segments_.add(
        prefixes_.back(), {prefixes_.begin() + first, prefixes_.end()}, bytes);
    return;
  }
  take_kept(h.agent); // it may be the one from before
  Entry& entry = entries_[h.agent];
  entry.used_ms = file_time_ms(path_of(h.agent), entry.bytes);
  entry.bytes = bytes;
  entry.tokens = static_cast<int>(h.tokens.size());
  entry.cold = h.cold;
  entry.stays = false;
  segments_.use(h.agent, h.segments);
}

bool remove_stored_agent(
    const std::string& root,
    const std::string& fingerprint,
    const std::string& agent) {
  if (!fs::is_directory(root + "/" + fingerprint)) {
    return false; // or it would be made
  }
  DiskTier tier(root, fingerprint, [] {});
  if (!tier.has(agent)) {
    return false;
  }
  tier.remove(agent);
  return true;
}

} // namespace stomp
