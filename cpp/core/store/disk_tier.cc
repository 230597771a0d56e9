#include "store/disk_tier.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "base/sync.h"
#include "base/thread_name.h"

namespace stomp {

namespace fs = std::filesystem;

namespace {

constexpr char kSuffix[] = ".safetensors";
// Blocks handed over and not yet written.
constexpr size_t kQueueBytes = size_t{16} << 20;

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

bool ends_with(const std::string& text, const std::string& suffix) {
  return text.size() >= suffix.size() &&
      text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
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
  if (!ends_with(name, kSuffix) || name.front() == '.') {
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

// The writer thread and its queue.
struct DiskTier::Writer {
  explicit Writer(std::function<void()> wake)
      : wake_(std::move(wake)), thread_([this] { main(); }) {}

  ~Writer() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void main() {
    name_thread("stomp-disk");
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stop_ || header_ != nullptr; });
      if (!header_) {
        return;
      }
      const auto start = std::chrono::steady_clock::now();
      const std::unique_ptr<AgentFileHeader> header = std::move(header_);
      Result result;
      try {
        write(*header, lock);
      } catch (const std::exception& error) {
        if (!lock.owns_lock()) {
          lock.lock();
        }
        result.error = as_error(error, Code::kCachePersistence);
        drain(lock);
      }
      result.seconds = std::chrono::duration<double>(
                           std::chrono::steady_clock::now() - start)
                           .count();
      blocks_.clear();
      queued_bytes_ = 0;
      result_ = result;
      wake_();
    }
  }

  /// REQUIRES: lock held; holds it on return, may or may not on a throw.
  void write(
      const AgentFileHeader& header,
      std::unique_lock<std::mutex>& lock) {
    lock.unlock();
    AgentFileWriter file(path_, header);
    for (size_t i = 0; i < header.blocks.size(); i++) {
      lock.lock();
      changed_.wait(
          lock, [this] { return stop_ || abandoned_ || !blocks_.empty(); });
      if (abandoned_) {
        throw *abandoned_;
      }
      if (blocks_.empty()) {
        throw Error(
            Code::kCachePersistence,
            "The engine stopped before " + path_ + " was written.");
      }
      const std::vector<std::byte> block = std::move(blocks_.front());
      blocks_.pop_front();
      queued_bytes_ -= block.size();
      handed_over_++;
      lock.unlock();
      wake_();
      file.append_block(block);
    }
    written_bytes_ = file.finish();
    lock.lock();
  }

  /// After a failure, takes the blocks that the engine still sends.
  void drain(std::unique_lock<std::mutex>& lock) {
    while (handed_over_ < expected_ && !abandoned_) {
      changed_.wait(
          lock, [this] { return stop_ || abandoned_ || !blocks_.empty(); });
      if (blocks_.empty()) {
        return;
      }
      handed_over_ += blocks_.size();
      blocks_.clear();
      queued_bytes_ = 0;
      lock.unlock();
      wake_();
      lock.lock();
    }
  }

  std::function<void()> wake_;
  std::mutex mutex_; // guards what follows, down to result_
  std::condition_variable changed_;
  bool stop_ = false;
  std::unique_ptr<AgentFileHeader> header_; // of the file to begin
  std::string path_;
  std::deque<std::vector<std::byte>> blocks_;
  size_t queued_bytes_ = 0;
  size_t handed_over_ = 0; // blocks taken from the queue
  size_t expected_ = 0;    // blocks of the file
  std::optional<Error> abandoned_;
  uint64_t written_bytes_ = 0;
  std::optional<Result> result_;

  // Engine thread only: the file under way.
  bool writing_ = false;
  AgentFileHeader under_way_;

  std::thread thread_; // last: starts when all else is there
};

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
    writer_ = std::make_unique<Writer>(std::move(wake));
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
    if (ends_with(name, ".tmp")) { // of a writer that was killed
      std::error_code ignored;     // it will be tried again at the next start
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
    std::map<std::string, std::vector<SegmentUse>> uses;
    for (const auto& [agent, entry] : entries_) {
      uses[agent] = segments_used(path_of(agent));
    }
    segments_.scan(uses);
  }
}

std::string DiskTier::path_of(const std::string& agent) const {
  return folder_ + "/" + agent_file_name(agent);
}

std::unique_ptr<AgentFileReader> DiskTier::open(const std::string& agent) {
  std::unique_ptr<AgentFileReader> kept = take_kept(agent);
  // Another program may have changed the folder.
  if (!kept || !kept->current()) {
    kept = verified(agent);
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
  try {
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
    return file;
  } catch (const Error& error) {
    if (error.code() == Code::kCacheCorrupt) {
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
  fs::rename(path, path + ".corrupt", error);
  if (error) {
    fs::remove(path, error);
  }
  entries_.erase(agent);
  bytes_.reset();
  segments_.distrust(agent);
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
  Writer& w = *writer_;
  w.writing_ = true;
  w.under_way_ = header;
  std::string path = path_of(header.agent);
  if (header.segment) {
    make_folder(segments_.folder());
    sync_directory(folder_);
    const int end =
        static_cast<int>(header.tokens.size()) / header.spec.block_tokens;
    path = segments_.path_of(prefix_names(header, end).back());
  }
  {
    const std::lock_guard<std::mutex> lock(w.mutex_);
    w.path_ = path;
    w.handed_over_ = 0;
    w.expected_ = header.blocks.size();
    w.result_.reset();
    w.abandoned_.reset();
    w.header_ = std::make_unique<AgentFileHeader>(std::move(header));
  }
  w.changed_.notify_all();
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
    if (!entry.cold && (!oldest || entry.used_ms < used) && may_go(agent)) {
      oldest = &agent;
      used = entry.used_ms;
    }
  }
  return oldest ? std::optional(*oldest) : std::nullopt;
}

bool DiskTier::writing() const {
  return writer_->writing_;
}

bool DiskTier::room() const {
  const std::lock_guard<std::mutex> lock(writer_->mutex_);
  return writer_->queued_bytes_ < kQueueBytes;
}

void DiskTier::push(std::vector<std::byte> block) {
  {
    const std::lock_guard<std::mutex> lock(writer_->mutex_);
    writer_->queued_bytes_ += block.size();
    writer_->blocks_.push_back(std::move(block));
  }
  writer_->changed_.notify_all();
}

void DiskTier::abandon(Error why) {
  {
    const std::lock_guard<std::mutex> lock(writer_->mutex_);
    writer_->abandoned_ = std::move(why);
  }
  writer_->changed_.notify_all();
}

std::optional<DiskTier::Result> DiskTier::poll() {
  Writer& w = *writer_;
  if (!w.writing_) {
    return std::nullopt;
  }
  std::optional<Result> result;
  uint64_t bytes = 0;
  {
    const std::lock_guard<std::mutex> lock(w.mutex_);
    result.swap(w.result_);
    bytes = w.written_bytes_;
  }
  if (!result) {
    return std::nullopt;
  }
  w.writing_ = false;
  if (!result->error) {
    written(bytes);
  } else {
    take_kept(w.under_way_.agent);
  }
  return result;
}

/// The file under way is there now.
void DiskTier::written(uint64_t bytes) {
  const AgentFileHeader& h = writer_->under_way_;
  bytes_.reset();
  if (h.segment) {
    const int end = static_cast<int>(h.tokens.size()) / h.spec.block_tokens;
    const auto names = prefix_names(h, end);
    const int first = h.blocks.front().index;
    segments_.add(names.back(), {names.begin() + first, names.end()}, bytes);
    return;
  }
  take_kept(h.agent); // it may be the one from before
  Entry& entry = entries_[h.agent];
  entry.used_ms = file_time_ms(path_of(h.agent), entry.bytes);
  entry.bytes = bytes;
  entry.tokens = static_cast<int>(h.tokens.size());
  entry.cold = h.cold;
  segments_.use(h.agent, h.segments);
}

} // namespace stomp
