#include "store/disk_writer.h"

#include <chrono>
#include <utility>

#include "base/thread_name.h"

namespace stomp {

namespace {

// Blocks handed over and not yet written.
constexpr size_t kQueueBytes = size_t{16} << 20;

using Guard = std::lock_guard<std::mutex>;

} // namespace

DiskWriter::DiskWriter(std::function<void()> wake)
    : wake_(std::move(wake)), thread_([this] { main(); }) {}

DiskWriter::~DiskWriter() {
  {
    const Guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void DiskWriter::main() {
  name_thread("stomp-disk");
  Lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || header_ != nullptr; });
    if (!header_) {
      return;
    }
    const auto start = std::chrono::steady_clock::now();
    const std::unique_ptr<AgentFileHeader> header = std::move(header_);
    Result result;
    try {
      result.bytes = write(*header, lock);
    } catch (const std::exception& error) {
      if (!lock.owns_lock()) {
        lock.lock();
      }
      result.error = as_error(error, Code::kCachePersistence);
      drain(lock);
    }
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count();
    blocks_.clear();
    queued_bytes_ = 0;
    result_ = result;
    wake_();
  }
}

/// REQUIRES: lock held; holds it on return, may or may not on a throw.
uint64_t DiskWriter::write(const AgentFileHeader& header, Lock& lock) {
  lock.unlock();
  AgentFileWriter file(path_, header);
  for (size_t i = 0; i < header.blocks.size(); i++) {
    lock.lock();
    const std::vector<std::byte> block = take_block(lock);
    lock.unlock();
    wake_();
    file.append_block(block);
  }
  const uint64_t bytes = file.finish();
  lock.lock();
  return bytes;
}

/// REQUIRES: lock held.
std::vector<std::byte> DiskWriter::take_block(Lock& lock) {
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
  std::vector<std::byte> block = std::move(blocks_.front());
  blocks_.pop_front();
  queued_bytes_ -= block.size();
  handed_over_++;
  return block;
}

/// After a failure, takes the blocks that the engine still sends.
void DiskWriter::drain(Lock& lock) {
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

void DiskWriter::begin(std::string path, AgentFileHeader header) {
  {
    const Guard lock(mutex_);
    path_ = std::move(path);
    handed_over_ = 0;
    expected_ = header.blocks.size();
    result_.reset();
    abandoned_.reset();
    header_ = std::make_unique<AgentFileHeader>(std::move(header));
  }
  changed_.notify_all();
}

bool DiskWriter::room() {
  const Guard lock(mutex_);
  return queued_bytes_ < kQueueBytes;
}

void DiskWriter::push(std::vector<std::byte> block) {
  {
    const Guard lock(mutex_);
    queued_bytes_ += block.size();
    blocks_.push_back(std::move(block));
  }
  changed_.notify_all();
}

void DiskWriter::abandon(Error why) {
  {
    const Guard lock(mutex_);
    abandoned_ = std::move(why);
  }
  changed_.notify_all();
}

std::optional<DiskWriter::Result> DiskWriter::poll() {
  const Guard lock(mutex_);
  return std::exchange(result_, std::nullopt);
}

} // namespace stomp
