#include "cache/block_pool.h"

#include <stdexcept>
#include <string>
#include <utility>

namespace stomp {

namespace {

[[noreturn]] void misuse(const char* what, int group, BlockId id) {
  throw std::logic_error(
      "block pool: " + std::string(what) + " (group " + std::to_string(group) +
      ", block " + std::to_string(id) + ")");
}

} // namespace

BlockPool::BlockPool(std::vector<int> capacity) : groups_(capacity.size()) {
  for (size_t g = 0; g < capacity.size(); g++) {
    if (capacity[g] < 0) {
      misuse("negative capacity", static_cast<int>(g), capacity[g]);
    }
    groups_[g].blocks.resize(capacity[g]);
    // Low ids are handed out first, so that memory is touched as it is needed.
    for (BlockId id = capacity[g] - 1; id >= 0; id--) {
      push_free(groups_[g], id);
    }
  }
}

int BlockPool::groups() const {
  return static_cast<int>(groups_.size());
}

int BlockPool::capacity(int group) const {
  return static_cast<int>(group_at(group).blocks.size());
}

int BlockPool::free(int group) const {
  return group_at(group).free;
}

int BlockPool::cached(int group) const {
  return group_at(group).cached;
}

int BlockPool::used(int group) const {
  return group_at(group).used;
}

int BlockPool::available(int group) const {
  const Group& g = group_at(group);
  return g.free + g.cached;
}

bool BlockPool::allocate(int group, std::span<BlockId> out) {
  Group& g = group_at(group);
  if (out.size() > static_cast<size_t>(g.free + g.cached)) {
    return false;
  }
  for (BlockId& id : out) {
    id = g.free > 0 ? pop_free(g) : reclaim_oldest(group);
    g.blocks[id].count = 1;
    g.used++;
    g.allocated++;
  }
  return true;
}

void BlockPool::retain(int group, BlockId id) {
  Group& g = group_at(group);
  Block& block = block_at(g, id);
  if (block.count == 0) {
    if (!block.indexed) {
      misuse("a free block cannot be retained", group, id);
    }
    unlink_cached(g, id);
    g.used++;
  }
  block.count++;
}

void BlockPool::release(int group, BlockId id) {
  Group& g = group_at(group);
  Block& block = block_at(g, id);
  if (block.count == 0) {
    misuse("released more often than held", group, id);
  }
  if (--block.count > 0) {
    return;
  }
  g.used--;
  if (block.indexed) {
    push_cached(g, id);
  } else {
    push_free(g, id);
  }
}

int BlockPool::count(int group, BlockId id) const {
  const Group& g = group_at(group);
  if (id < 0 || static_cast<size_t>(id) >= g.blocks.size()) {
    misuse("no such block", group, id);
  }
  return g.blocks[id].count;
}

void BlockPool::set_indexed(int group, BlockId id, bool indexed) {
  Group& g = group_at(group);
  Block& block = block_at(g, id);
  if (block.count == 0 && !block.indexed) {
    misuse("a free block has no content to index", group, id);
  }
  if (block.count == 0 && !indexed) {
    unlink_cached(g, id);
    push_free(g, id);
  }
  block.indexed = indexed;
}

void BlockPool::on_reclaim(
    std::function<void(int group, BlockId id)> callback) {
  on_reclaim_ = std::move(callback);
}

uint64_t BlockPool::allocated_total(int group) const {
  return group_at(group).allocated;
}

uint64_t BlockPool::reclaimed_total(int group) const {
  return group_at(group).reclaimed;
}

BlockPool::Group& BlockPool::group_at(int group) {
  return const_cast<Group&>(std::as_const(*this).group_at(group));
}

const BlockPool::Group& BlockPool::group_at(int group) const {
  if (group < 0 || static_cast<size_t>(group) >= groups_.size()) {
    misuse("no such group", group, kNoBlock);
  }
  return groups_[group];
}

BlockPool::Block& BlockPool::block_at(Group& group, BlockId id) {
  if (id < 0 || static_cast<size_t>(id) >= group.blocks.size()) {
    throw std::logic_error("block pool: no block " + std::to_string(id));
  }
  return group.blocks[id];
}

void BlockPool::push_free(Group& group, BlockId id) {
  group.blocks[id].next = group.first_free;
  group.first_free = id;
  group.free++;
}

BlockId BlockPool::pop_free(Group& group) {
  const BlockId id = group.first_free;
  group.first_free = group.blocks[id].next;
  group.free--;
  return id;
}

void BlockPool::push_cached(Group& group, BlockId id) {
  Block& block = group.blocks[id];
  block.prev = group.newest;
  block.next = kNoBlock;
  if (group.newest == kNoBlock) {
    group.oldest = id;
  } else {
    group.blocks[group.newest].next = id;
  }
  group.newest = id;
  group.cached++;
}

void BlockPool::unlink_cached(Group& group, BlockId id) {
  const Block& block = group.blocks[id];
  if (block.prev == kNoBlock) {
    group.oldest = block.next;
  } else {
    group.blocks[block.prev].next = block.next;
  }
  if (block.next == kNoBlock) {
    group.newest = block.prev;
  } else {
    group.blocks[block.next].prev = block.prev;
  }
  group.cached--;
}

BlockId BlockPool::reclaim_oldest(int group) {
  Group& g = groups_[group];
  const BlockId id = g.oldest;
  unlink_cached(g, id);
  g.blocks[id].indexed = false;
  g.reclaimed++;
  if (on_reclaim_) {
    on_reclaim_(group, id);
  }
  return id;
}

} // namespace stomp
