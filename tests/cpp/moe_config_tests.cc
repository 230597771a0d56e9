// What configurations say of mixtures of experts, MXFP4 and GPT-OSS, and what
// of it is refused.
#include <string>
#include <vector>

#include "check.h"
#include "model/config.h"
#include "model/gguf_config.h"
#include "model/hf_config.h"
#include "temp_dir.h"
#include "tiny_model.h"

using namespace stomp;

namespace {

const std::string kQwen =
    R"("num_experts":8,"num_experts_per_tok":2,"moe_intermediate_size":64)";
const std::string kGptOss =
    R"("num_local_experts":8,"num_experts_per_tok":2,"sliding_window":16)";

/// The tiny config of another family, with more members.
HfConfig parse(const std::string& family, const std::string& more) {
  std::string text = tiny::open_config(false) + "," + more + "}";
  const std::string llama = "\"llama\"";
  text.replace(text.find(llama), llama.size(), "\"" + family + "\"");
  return parse_hf_config(text, "config.json");
}

void check_refused(
    const std::string& family,
    const std::string& more,
    const std::string& code,
    const std::string& part) {
  const std::string said = error_of([&] { parse(family, more); });
  if (!contains(said, code) || !contains(said, part)) {
    check::fail(__FILE__, __LINE__, "'" + more + "' said '" + said + "'");
  }
}

/// Qwen's with one figure replaced, or left out.
std::string replacing(const std::string& key, const std::string& value) {
  std::string text = kQwen;
  const size_t at = text.find("\"" + key + "\"");
  const size_t end = std::min(text.find(',', at), text.size());
  return text.replace(at, end - at, "\"" + key + "\":" + value);
}

GgufBuilder gguf(const std::string& architecture) {
  const std::string p = architecture + ".";
  GgufBuilder b;
  b.string("general.architecture", architecture)
      .u32(p + "block_count", 4)
      .u32(p + "context_length", 512)
      .u32(p + "embedding_length", 128)
      .u32(p + "feed_forward_length", 256)
      .u32(p + "attention.head_count", 4)
      .u32(p + "expert_count", 8)
      .u32(p + "expert_used_count", 2)
      .u32(p + "expert_feed_forward_length", 64)
      .strings("tokenizer.ggml.tokens", std::vector<std::string>(48, "t"));
  return b;
}

ModelConfig from_gguf(GgufBuilder builder) {
  const TempDir dir;
  write_file(dir / "m.gguf", builder.build());
  return config_from_gguf(GgufFile(dir / "m.gguf"));
}

} // namespace

TEST("config: Qwen3-MoE's experts, and layers without them") {
  const ModelConfig c = parse("qwen3_moe", kQwen).model;
  CHECK_EQUAL(c.moe.n_experts, 8);
  CHECK_EQUAL(c.moe.n_chosen, 2);
  CHECK_EQUAL(c.moe.d_ff, 64);
  CHECK(!c.moe.normalised && !c.moe.biases && c.qk_norm);
  CHECK(c.moe.in_layer(0) && c.moe.in_layer(1));
  CHECK(parse("qwen3_moe", kQwen + ",\"norm_topk_prob\":true")
            .model.moe.normalised);
  const MoeConfig sparse =
      parse("qwen3_moe", kQwen + ",\"decoder_sparse_step\":2").model.moe;
  CHECK(!sparse.in_layer(0) && sparse.in_layer(1));
  const MoeConfig listed =
      parse("qwen3_moe", kQwen + ",\"mlp_only_layers\":[1]").model.moe;
  CHECK(listed.in_layer(0) && !listed.in_layer(1));
  CHECK(!parse("qwen3", kQwen).model.moe.in_layer(0));
}

TEST("config: figures of experts that cannot be are refused") {
  for (const char* key :
       {"num_experts", "num_experts_per_tok", "moe_intermediate_size"}) {
    for (const char* value : {"0", "-1", "2147483647", "\"8\"", "1.5"}) {
      check_refused("qwen3_moe", replacing(key, value), "MODEL_INVALID", "");
    }
    check_refused(
        "qwen3_moe",
        replacing(key, "null"),
        "MODEL_INVALID",
        std::string("'") + key + "' is missing");
  }
  check_refused(
      "qwen3_moe",
      replacing("num_experts_per_tok", "9"),
      "MODEL_INVALID",
      "experts for a token is 9, 1 to 8");
  const std::pair<const char*, const char*> more[] = {
      {",\"decoder_sparse_step\":0", "'decoder_sparse_step'"},
      {",\"mlp_only_layers\":1", "'mlp_only_layers' is not a list"},
      {",\"mlp_only_layers\":[2]", "'mlp_only_layers'"},
      {",\"mlp_only_layers\":[-1]", "'mlp_only_layers'"},
      {",\"mlp_only_layers\":[\"1\"]", "'mlp_only_layers'"},
      {",\"norm_topk_prob\":1", "'norm_topk_prob'"}};
  for (const auto& [text, part] : more) {
    check_refused("qwen3_moe", kQwen + text, "MODEL_INVALID", part);
  }
}

TEST("config: GPT-OSS has biases, sinks and windows by turns") {
  const ModelConfig c = parse("gpt_oss", kGptOss).model;
  CHECK(c.qkv_bias && c.o_bias && c.sinks && c.moe.biases && c.moe.normalised);
  CHECK(c.activation == Activation::kClampedSwiglu);
  CHECK_EQUAL(c.moe.d_ff, 256);
  CHECK_EQUAL(c.window, 16);
  CHECK(c.slides(0) && !c.slides(1));
  const ModelConfig listed =
      parse(
          "gpt_oss",
          kGptOss + R"(,"layer_types":["full_attention","sliding_attention"])")
          .model;
  CHECK(!listed.slides(0) && listed.slides(1));
  CHECK(parse("gpt_oss", kGptOss + ",\"attention_bias\":true").model.o_bias);
}

TEST("config: variants of GPT-OSS that change the arithmetic are refused") {
  check_refused(
      "gpt_oss",
      kGptOss + ",\"swiglu_limit\":8",
      "MODEL_UNSUPPORTED",
      "'swiglu_limit'");
  check_refused(
      "gpt_oss",
      kGptOss + ",\"attention_bias\":false",
      "MODEL_UNSUPPORTED",
      "'attention_bias' false");
  check_refused(
      "gpt_oss",
      R"("num_local_experts":0,"num_experts_per_tok":0,"sliding_window":16)",
      "MODEL_INVALID",
      "the number of experts is 0");
  check_refused(
      "gpt_oss",
      R"("num_local_experts":8,"num_experts_per_tok":2)",
      "MODEL_INVALID",
      "'sliding_window' is missing");
}

TEST("config: the quantisation of MXFP4, and others beside it") {
  const HfConfig c = parse(
      "gpt_oss",
      kGptOss +
          R"(,"quantization":{"group_size":32,"bits":4,"mode":"mxfp4",)"
          R"("a":{"group_size":64,"bits":8},"b":{"bits":6},)"
          R"("c":{"mode":"mxfp4"}})");
  CHECK(c.format_of("any")->mxfp4);
  CHECK_EQUAL(c.format_of("any")->group, 32);
  CHECK(!c.format_of("a")->mxfp4);
  CHECK_EQUAL(c.format_of("a")->bits, 8);
  // What such a one leaves out is affine's default, not MXFP4's.
  CHECK_EQUAL(c.format_of("b")->group, 64);
  CHECK(c.format_of("c")->mxfp4);
  const std::string method =
      R"(,"quantization_config":{"quant_method":"mxfp4"})";
  CHECK(!parse("gpt_oss", kGptOss + method).quantisation);
  for (const char* bad : {"\"bits\":8", "\"group_size\":64"}) {
    check_refused(
        "gpt_oss",
        kGptOss + R"(,"quantization":{"mode":"mxfp4",)" + bad + "}",
        "MODEL_INVALID",
        "mxfp4 has 4 bits and groups of 32");
  }
}

TEST("config: a GGUF's mixtures of experts") {
  const ModelConfig qwen = from_gguf(gguf("qwen3moe"));
  CHECK_EQUAL(qwen.family, std::string("qwen3_moe"));
  CHECK(qwen.qk_norm && qwen.moe.normalised && !qwen.moe.biases);
  CHECK(qwen.moe.in_layer(0) && qwen.moe.in_layer(3));
  CHECK_EQUAL(qwen.moe.d_ff, 64);
  const ModelConfig oss =
      from_gguf(gguf("gpt-oss").u32("gpt-oss.attention.sliding_window", 16));
  CHECK_EQUAL(oss.family, std::string("gpt_oss"));
  CHECK(oss.qkv_bias && oss.o_bias && oss.sinks && oss.moe.biases);
  CHECK(oss.activation == Activation::kClampedSwiglu);
  CHECK(oss.slides(0) && !oss.slides(1) && oss.slides(2) && !oss.slides(3));
}

TEST("config: a GGUF's experts that cannot be are refused") {
  for (const char* name :
       {"expert_count", "expert_used_count", "expert_feed_forward_length"}) {
    const std::string key = std::string("qwen3moe.") + name;
    const std::string said =
        error_of([&] { from_gguf(gguf("qwen3moe").drop(key)); });
    CHECK(contains(said, "MODEL_INVALID"));
    CHECK(contains(said, "'" + key + "' is missing"));
    for (const uint32_t value : {0u, 2147483647u, 4294967295u}) {
      CHECK_ERROR(
          from_gguf(gguf("qwen3moe").drop(key).u32(key, value)),
          Code::kModelInvalid);
    }
  }
}

TEST("config: a GGUF of GPT-OSS must say how long its windows are") {
  const std::string said = error_of([] { from_gguf(gguf("gpt-oss")); });
  CHECK(contains(said, "MODEL_INVALID"));
  CHECK(contains(said, "'gpt-oss.attention.sliding_window' is missing"));
}

TEST("config: GPT-OSS's YaRN blends between the bounds as they are") {
  const std::string yarn =
      R"(,"rope_scaling":{"rope_type":"yarn","factor":8,"beta_fast":8,)"
      R"("beta_slow":1,"original_max_position_embeddings":64)";
  const auto freq = [&](const char* truncate) {
    return parse("gpt_oss", kGptOss + yarn + truncate + "}")
        .model.rope.inv_freq;
  };
  const auto exact = freq(",\"truncate\":false");
  CHECK(exact != freq(",\"truncate\":true"));
  const std::string p = "gpt-oss.rope.scaling.";
  const ModelConfig file =
      from_gguf(gguf("gpt-oss")
                    .u32("gpt-oss.attention.sliding_window", 16)
                    .string(p + "type", "yarn")
                    .f32(p + "factor", 8)
                    .f32(p + "yarn_beta_fast", 8)
                    .u32(p + "original_context_length", 64));
  CHECK(file.rope.inv_freq == exact);
  CHECK_ERROR(
      from_gguf(gguf("qwen3moe")
                    .string("qwen3moe.rope.scaling.type", "yarn")
                    .f32("qwen3moe.rope.scaling.yarn_beta_fast", 1)),
      Code::kModelInvalid);
}
