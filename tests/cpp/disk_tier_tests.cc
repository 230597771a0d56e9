// disk_tier.h: one file is kept between a look at it and its use, and none is
// ever served that the folder does not have.
#include "store/disk_tier.h"

#include <filesystem>
#include <thread>

#include "check.h"
#include "temp_dir.h"

using namespace stomp;

namespace {

AgentFileHeader header_of(const std::string& agent, const std::string& text) {
  AgentFileHeader header;
  header.agent = agent;
  header.model = "m";
  header.fingerprint = "f";
  header.numerics = "n";
  header.transcript = text;
  header.spec.n_layers = 1;
  header.spec.n_kv_heads = 1;
  header.spec.key_dim = 2;
  header.spec.value_dim = 2;
  header.spec.kv = {2};
  header.spec.block_tokens = 4;
  header.spec.groups = {{AttentionKind::kGlobal, 0, {0}}};
  header.tokens = {1, 2, 3, 4};
  header.blocks = {{0, 0, 4}};
  return header;
}

class Folder {
 public:
  DiskTier& tier() { return tier_; }
  std::string path(const std::string& agent) const {
    return dir_.path() + "/f/" + agent_file_name(agent);
  }

  void begin(const std::string& agent, const std::string& text) {
    tier_.begin(header_of(agent, text));
  }
  void end() {
    tier_.push(std::vector<std::byte>(32));
    while (!tier_.poll()) {
      std::this_thread::yield();
    }
  }
  void save(const std::string& agent, const std::string& text) {
    begin(agent, text);
    end();
  }
  std::string look(const std::string& agent) {
    return tier_.look(agent).header().transcript;
  }
  std::string open(const std::string& agent) {
    return tier_.open(agent)->header().transcript;
  }

 private:
  TempDir dir_;
  DiskTier tier_{dir_.path(), "f", [] {}};
};

} // namespace

TEST("disk tier: a file that was looked at is not opened again, once") {
  Folder f;
  f.save("a", "one");
  f.save("b", "two");
  const AgentFileReader* looked = &f.tier().look("a");
  CHECK(&f.tier().look("a") == looked);
  const auto b = f.tier().open("b"); // leaves it alone
  const auto first = f.tier().open("a");
  CHECK(first.get() == looked);
  const auto second = f.tier().open("a");
  CHECK(second.get() != looked);
  CHECK_EQUAL(second->header().transcript, std::string("one"));
}

TEST("disk tier: one file is kept, that of the last agent looked at") {
  Folder f;
  f.save("a", "one");
  f.save("b", "two");
  CHECK_EQUAL(f.look("a"), std::string("one"));
  const AgentFileReader* looked = &f.tier().look("b");
  CHECK_EQUAL(f.open("a"), std::string("one"));
  CHECK(f.tier().open("b").get() == looked);
}

TEST("disk tier: after a save the new file is read, also during it") {
  Folder f;
  f.save("a", "old");
  CHECK_EQUAL(f.look("a"), std::string("old"));
  f.save("a", "new");
  CHECK_EQUAL(f.look("a"), std::string("new"));
  f.begin("a", "newest");
  CHECK_EQUAL(f.look("a"), std::string("new"));
  f.end();
  CHECK_EQUAL(f.open("a"), std::string("newest"));
}

TEST("disk tier: what is removed or set aside is not served") {
  for (const bool remove : {true, false}) {
    Folder f;
    f.save("a", "one");
    f.look("a");
    if (remove) {
      f.tier().remove("a");
    } else {
      f.tier().set_aside("a");
    }
    CHECK_ERROR(f.open("a"), Code::kCachePersistence);
    f.save("a", "again");
    CHECK_EQUAL(f.look("a"), std::string("again"));
  }
}

TEST("disk tier: what another program does to a file shows") {
  Folder f;
  f.save("a", "one");
  f.save("b", "two");
  f.look("a");
  const std::string good = read_file(f.path("a"));
  std::string bad = good;
  bad[good.find("transcript")] = 'T';
  // Written beside it and renamed, as any careful program would.
  write_file(f.path("a") + "~", bad);
  std::filesystem::rename(f.path("a") + "~", f.path("a"));
  CHECK_ERROR(f.open("a"), Code::kCacheCorrupt);
  CHECK(!f.tier().has("a"));
  f.look("b");
  std::filesystem::remove(f.path("b"));
  CHECK_ERROR(f.open("b"), Code::kCachePersistence);
}
