// Warm and cold: what agents share lies on the disk once, a budget lets those
// used longest ago go cold, and no kill leaves anything but an old state or a
// new one.
#include <filesystem>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine_bench.h"

using namespace stomp;
using namespace stomp::test;

namespace fs = std::filesystem;

namespace {

EngineOptions in(const TempDir& dir, uint64_t budget = 0) {
  EngineOptions o;
  o.cache_dir = dir.path();
  o.disk_budget_bytes = budget;
  return o;
}

std::string folder(const TempDir& dir) {
  return dir.path() + "/feedbeef";
}

std::vector<fs::path> files_in(const std::string& path) {
  std::vector<fs::path> files;
  if (fs::exists(path)) {
    for (const auto& file : fs::directory_iterator(path)) {
      if (file.is_regular_file()) {
        files.push_back(file.path());
      }
    }
  }
  return files;
}

std::vector<fs::path> segments(const TempDir& dir) {
  return files_in(folder(dir) + "/shared");
}

/// A parent of 160 tokens, ten blocks, and forks that each say something else.
void save_family(Bench& b, int forks) {
  const auto prompt = words(160, 1);
  b.finish(b.submit("parent", prompt, 1));
  for (int i = 0; i < forks; i++) {
    const std::string id = "fork" + std::to_string(i);
    b.core->agents().fork("parent", id);
    b.finish(b.submit(id, joined(prompt, words(20, 10 + i)), 4));
    b.save(id);
  }
}

void check_fork(Bench& b, int i, int restored) {
  const auto own = joined(words(160, 1), words(20, 10 + i));
  const auto longer = joined(joined(own, answer(own, 4)), words(5, 50));
  const int id = b.submit("fork" + std::to_string(i), longer, 5);
  CHECK_EQUAL(b.finish(id).usage.restored_tokens, restored);
  CHECK(b.tokens[id] == answer(longer, 5));
}

AgentTier tier_of(Bench& b, const std::string& id) {
  for (const AgentInfo& info : b.core->agents().list()) {
    if (info.id == id) {
      return info.tier;
    }
  }
  throw std::logic_error("no agent " + id);
}

} // namespace

TEST("what forks share lies on the disk once, and comes back to each of them") {
  const TempDir dir;
  {
    Bench b(128, in(dir));
    save_family(b, 4);
    CHECK_EQUAL(segments(dir).size(), 1u);
    const uint64_t segment = fs::file_size(segments(dir)[0]);
    const EngineStats stats = b.core->stats();
    CHECK_EQUAL(stats.disk_shared_bytes, 3 * segment);
    // 24 tokens of 184 are their own.
    CHECK(fs::file_size(folder(dir) + "/fork3.safetensors") < segment);
  }
  for (int i = 0; i < 4; i++) {
    Bench b(128, in(dir));
    check_fork(b, i, 183);
  }
}

TEST("agents that begin alike share on the disk, forked or not") {
  const TempDir dir;
  Bench b(128, in(dir));
  const auto system = words(64, 2);
  for (const char* id : {"a", "b"}) {
    b.finish(b.submit(id, joined(system, words(30, id[0])), 4));
  }
  b.save("a");
  b.save("b");
  CHECK_EQUAL(segments(dir).size(), 1u);
  // A third one whose beginning nobody holds in memory any more.
  b.core->agents().evict("a", {});
  b.core->agents().evict("b", {});
  b.core->agents().fork("a", "c");
  b.save("c"); // and what else it has of a's, in a second segment
  CHECK_EQUAL(segments(dir).size(), 2u);
  b.core->agents().fork("c", "d");
  b.save("d");
  CHECK_EQUAL(segments(dir).size(), 2u);
}

TEST("a segment goes with the last agent that uses it") {
  const TempDir dir;
  Bench b(128, in(dir));
  save_family(b, 2);
  b.core->agents().remove("fork0");
  CHECK_EQUAL(segments(dir).size(), 1u);
  b.core->agents().remove("fork1");
  CHECK_EQUAL(segments(dir).size(), 0u);
}

TEST("segments that nobody uses are removed at the start, those in use stay") {
  const TempDir dir;
  {
    Bench b(128, in(dir));
    save_family(b, 2);
  }
  const fs::path segment = segments(dir)[0];
  const std::string other =
      segment.parent_path() / "00000000000000000000000000000000.safetensors";
  fs::copy_file(segment, other);
  write_file(segment.string() + ".1-1.tmp", "left by a writer");
  Bench b(128, in(dir));
  CHECK_EQUAL(segments(dir).size(), 1u);
  CHECK(segments(dir)[0] == segment);
  check_fork(b, 1, 183);
}

TEST("a missing or damaged segment costs the cache, not the conversation") {
  for (const bool missing : {true, false}) {
    const TempDir dir;
    {
      Bench b(128, in(dir));
      save_family(b, 2);
    }
    const std::string path = segments(dir)[0].string();
    if (missing) {
      fs::remove(path);
    } else {
      std::string bytes = read_file(path);
      bytes[bytes.size() / 2] ^= 4;
      write_file(path, bytes);
    }
    Bench b(128, in(dir));
    const auto own = joined(words(160, 1), words(20, 10));
    const int id = b.submit("fork0", own, 5);
    const Usage& usage = b.finish(id).usage;
    CHECK_EQUAL(usage.restored_tokens < 160, true);
    CHECK(contains(usage.miss_reason, "set aside"));
    CHECK(b.tokens[id] == answer(own, 5));
    // What is saved from now on does not lean on it.
    b.save("fork0");
    b.core->agents().fork("fork0", "twin");
    b.save("twin");
    b.core->agents().evict("twin", {});
    CHECK_EQUAL(b.core->agents().transcript("twin"), std::string("t:twin"));
  }
}

TEST("a segment of another beginning is not taken for an agent's own") {
  const TempDir dir;
  {
    Bench b(128, in(dir));
    save_family(b, 2);
  }
  std::string swapped;
  {
    const TempDir other;
    Bench b(128, in(other));
    b.finish(b.submit("x", words(160, 99), 1));
    b.core->agents().fork("x", "y");
    b.save("y");
    swapped = read_file(segments(other)[0].string());
  }
  write_file(segments(dir)[0].string(), swapped);
  Bench b(128, in(dir));
  const auto own = joined(words(160, 1), words(20, 10));
  const int id = b.submit("fork0", own, 5);
  CHECK_EQUAL(b.finish(id).usage.restored_tokens, 0);
  CHECK(b.tokens[id] == answer(own, 5));
}

TEST(
    "beyond the disk's budget those used longest ago go cold, not the others") {
  const TempDir dir;
  uint64_t one = 0;
  {
    Bench b(64, in(dir));
    b.finish(b.submit("a", words(200, 1), 4));
    b.save("a");
    one = fs::file_size(folder(dir) + "/a.safetensors");
    b.core->agents().evict("a", {});
  }
  Bench b(64, in(dir, one * 5 / 2));
  for (const char* id : {"b", "c"}) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    b.finish(b.submit(id, words(200, id[0]), 4));
    b.save(id);
    b.core->agents().evict(id, {});
    b.run();
  }
  CHECK(tier_of(b, "a") == AgentTier::kCold);
  CHECK(tier_of(b, "b") == AgentTier::kWarm);
  CHECK(tier_of(b, "c") == AgentTier::kWarm);
  CHECK_EQUAL(b.core->stats().demotions, 1u);
  CHECK_EQUAL(b.core->agents().transcript("a"), std::string("t:a"));
  const int id = b.submit("a", words(200, 1), 4);
  const Usage usage = b.finish(id).usage;
  CHECK_EQUAL(usage.cached_tokens, 0);
  CHECK(contains(usage.miss_reason, "room on the disk"));
  CHECK(b.tokens[id] == answer(words(200, 1), 4));
}

TEST("the budget counts other models' agents and files set aside") {
  const TempDir dir;
  uint64_t one = 0;
  {
    Bench b(64, in(dir));
    b.finish(b.submit("a", words(200, 1), 4));
    b.save("a");
    one = fs::file_size(folder(dir) + "/a.safetensors");
  }
  fs::rename(folder(dir), dir.path() + "/0ther");
  write_file(
      dir.path() + "/0ther/x.safetensors.corrupt", std::string(one, 'x'));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  Bench b(64, in(dir, one * 3 / 2));
  b.finish(b.submit("b", words(200, 2), 4));
  b.save("b");
  b.core->agents().evict("b", {});
  b.run();
  CHECK(!fs::exists(dir.path() + "/0ther/x.safetensors.corrupt"));
  const AgentFileReader other(dir.path() + "/0ther/a.safetensors", "");
  CHECK(other.header().cold);
  CHECK_EQUAL(other.header().transcript, std::string("t:a"));
  CHECK(tier_of(b, "b") == AgentTier::kWarm);
}

#if defined(__linux__) && !defined(__SANITIZE_THREAD__)
namespace {

void save_new_state(const TempDir& dir) {
  Bench b(128, in(dir));
  const auto prompt = words(100, 1);
  const auto longer = joined(prompt, words(40, 2));
  b.finish(b.submit("a", prompt, 4));
  b.finish(b.submit("b", longer, 4));
  b.save("b");
  b.save("a");
}

/// Saves a new state of the agents in a process that the system ends when a
/// file grows past `bytes`: at any byte of any write.
bool save_killed_at(const TempDir& dir, rlim_t bytes) {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{bytes, bytes};
    setrlimit(RLIMIT_FSIZE, &limit); // SIGXFSZ kills by default
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    try { // what is thrown must not unwind into the parent's test
      save_new_state(dir);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "in the process to be killed: %s\n", e.what());
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ;
  CHECK(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
  return killed;
}

} // namespace

TEST("killed at any byte of a write, the disk has the old state or the new") {
  const TempDir dir;
  {
    Bench b(128, in(dir));
    b.finish(b.submit("b", words(70, 7), 4));
    b.save("b");
  }
  int kills = 0;
  // From past the lock file's few bytes on.
  for (rlim_t at = 64;; at += 83) {
    const bool killed = save_killed_at(dir, at);
    kills += killed;
    Bench b(128, in(dir));
    for (const char* suffix : {"", "/shared"}) {
      for (const fs::path& file : files_in(folder(dir) + suffix)) {
        CHECK(file.extension() != ".tmp");
        CHECK(file.extension() != ".corrupt");
      }
    }
    // The old state, or the new one, each as it was.
    const auto fresh = joined(words(100, 1), words(40, 2));
    const auto tokens =
        AgentFileReader(folder(dir) + "/b.safetensors", folder(dir) + "/shared")
            .header()
            .tokens;
    const bool is_old = tokens == joined(words(70, 7), answer(words(70, 7), 3));
    const bool is_new = tokens == joined(fresh, answer(fresh, 3));
    CHECK(is_old || is_new);
    const auto next = joined(tokens, words(3, 9));
    const int id = b.submit("b", next, 3);
    CHECK_EQUAL(
        b.finish(id).usage.restored_tokens, static_cast<int>(tokens.size()));
    CHECK(b.tokens[id] == answer(next, 3));
    if (!killed) {
      break;
    }
  }
  CHECK(kills > 20);
}
#endif
