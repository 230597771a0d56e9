// Writes an agent's cache file of global layers and one with windows into the
// folder named: what agent_fuzz begins with.
#include <cstdio>
#include <string>
#include <vector>

#include "store/agent_file.h"

namespace {

stomp::AgentFileHeader header_of(const std::string& agent) {
  stomp::AgentFileHeader h;
  h.agent = agent;
  h.model = "model";
  h.fingerprint = "feedbeef";
  h.numerics = "numerics";
  h.seed = 7;
  h.transcript = R"({"text":"a transcript"})";
  h.spec.n_layers = 3;
  h.spec.n_kv_heads = 2;
  h.spec.key_dim = 4;
  h.spec.value_dim = 4;
  h.spec.block_tokens = 16;
  for (int token = 0; token < 40; token++) {
    h.tokens.push_back(token);
  }
  return h;
}

void write(const std::string& path, const stomp::AgentFileHeader& header) {
  stomp::AgentFileWriter writer(path, header);
  for (const stomp::StoredBlock& block : header.blocks) {
    writer.append_block(std::vector<std::byte>(
        stomp::stored_block_bytes(header.spec, block), std::byte{1}));
  }
  writer.finish();
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: agent_seeds FOLDER\n");
    return 1;
  }
  const std::string folder = argv[1];
  stomp::AgentFileHeader global = header_of("global");
  global.spec.groups = {{stomp::AttentionKind::kGlobal, 0, {0, 1, 2}}};
  global.blocks = {{0, 0, 16}, {0, 1, 16}, {0, 2, 8}};
  write(folder + "/global.safetensors", global);
  stomp::AgentFileHeader hybrid = header_of("hybrid");
  hybrid.spec.groups = {
      {stomp::AttentionKind::kGlobal, 0, {1}},
      {stomp::AttentionKind::kSliding, 16, {0, 2}}};
  hybrid.blocks = {{0, 0, 16}, {0, 1, 16}, {0, 2, 8}, {1, 1, 16}, {1, 2, 8}};
  write(folder + "/hybrid.safetensors", hybrid);
  return 0;
}
