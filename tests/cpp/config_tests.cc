// model/config.h and its two sources: what is understood, what is refused by
// name, what is nonsense.
#include <cmath>
#include <numbers>

#include "check.h"
#include "model/config.h"
#include "model/gguf_config.h"
#include "model/hf_config.h"
#include "model/rope.h"
#include "temp_dir.h"
#include "tiny_model.h"

using namespace stomp;

namespace {

/// The tiny model's config.json with more members.
std::string config_with(const std::string& more) {
  return tiny::open_config(true) + (more.empty() ? "" : "," + more) + "}";
}

HfConfig parse(const std::string& more) {
  return parse_hf_config(config_with(more), "config.json");
}

/// The tiny config with one member's text replaced.
std::string config_replacing(const std::string& from, const std::string& to) {
  std::string text = config_with("");
  const size_t at = text.find(from);
  CHECK(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string error_replacing(const std::string& from, const std::string& to) {
  return error_of([&] { config_from_hf_json(config_replacing(from, to)); });
}

void check_unsupported(const std::string& more, const std::string& part) {
  const std::string said = error_of([&] { parse(more); });
  if (!contains(said, "MODEL_UNSUPPORTED") || !contains(said, part)) {
    check::fail(__FILE__, __LINE__, "'" + more + "' said '" + said + "'");
  }
}

void check_invalid(const std::string& more, const std::string& part) {
  const std::string said = error_of([&] { parse(more); });
  if (!contains(said, "MODEL_INVALID") || !contains(said, part)) {
    check::fail(__FILE__, __LINE__, "'" + more + "' said '" + said + "'");
  }
}

bool near(double a, double b) {
  return std::fabs(a - b) <= 1e-6 * std::fabs(b);
}

using Ids = std::vector<int32_t>;

ModelConfig from_gguf(GgufBuilder builder) {
  const TempDir dir;
  write_file(dir / "m.gguf", builder.build());
  return config_from_gguf(GgufFile(dir / "m.gguf"));
}

GgufBuilder tiny_gguf() {
  static const GgufBuilder builder = tiny::gguf(kGgmlQ4_0, true);
  return builder;
}

void check_gguf(
    const GgufBuilder& builder,
    const std::string& code,
    const std::string& part) {
  const std::string said = error_of([&] { from_gguf(builder); });
  if (!contains(said, code) || !contains(said, part)) {
    check::fail(__FILE__, __LINE__, "said '" + said + "', not '" + part + "'");
  }
}

} // namespace

TEST("config: figures of a config.json") {
  const ModelConfig c = parse("\"_name_or_path\":\"org/Name\"").model;
  CHECK_EQUAL(c.family, std::string("llama"));
  CHECK_EQUAL(c.name, std::string("org/Name"));
  CHECK_EQUAL(c.n_layers, 2);
  CHECK_EQUAL(c.d_model, 128);
  CHECK_EQUAL(c.n_heads, 4);
  CHECK_EQUAL(c.n_kv_heads, 2);
  CHECK_EQUAL(c.head_dim, 32);
  CHECK_EQUAL(c.d_ff, 256);
  CHECK_EQUAL(c.vocab_size, 48);
  CHECK_EQUAL(c.max_context, 512);
  CHECK_EQUAL(c.rms_eps, 1e-5f);
  CHECK(c.tied_embeddings);
  CHECK(!c.rope.interleaved);
  CHECK(c.eos_ids == Ids{2});
  CHECK_EQUAL(c.q_dim(), 128);
  CHECK_EQUAL(c.kv_dim(), 64);
}

TEST("config: what a config.json leaves out has Llama's defaults") {
  const ModelConfig c = config_from_hf_json(
      R"({"model_type":"llama","hidden_size":64,"num_hidden_layers":1,)"
      R"("intermediate_size":8,"num_attention_heads":4,"vocab_size":5,)"
      R"("head_dim":null,"rope_scaling":null,"sliding_window":null})");
  CHECK_EQUAL(c.n_kv_heads, 4);
  CHECK_EQUAL(c.head_dim, 16);
  CHECK_EQUAL(c.max_context, 2048);
  CHECK_EQUAL(c.rms_eps, 1e-6f);
  CHECK(!c.tied_embeddings);
  CHECK(c.eos_ids.empty());
  CHECK(near(c.rope.inv_freq[1], std::pow(10000.0, -1.0 / 8)));
}

TEST("config: mistral is llama, with a window in every layer or without") {
  const std::string mistral =
      config_replacing("\"model_type\":\"llama\"", R"("model_type":"mistral")");
  CHECK_EQUAL(config_from_hf_json(mistral).family, std::string("llama"));
  const ModelConfig wide = parse("\"sliding_window\":4096").model;
  CHECK_EQUAL(wide.window, 4096);
  CHECK(wide.slides(0) && wide.slides(1));
  CHECK(parse("\"sliding_window\":4096,\"use_sliding_window\":false")
            .model.sliding.empty());
}

TEST("config: qwen2 has biases, qwen3 norms of heads, and no window in use") {
  const auto family = [](const std::string& name) {
    const std::string text =
        config_with("\"sliding_window\":4096,\"max_window_layers\":2");
    const std::string from = "\"model_type\":\"llama\"";
    std::string own = text;
    own.replace(own.find(from), from.size(), "\"model_type\":\"" + name + "\"");
    return config_from_hf_json(own);
  };
  const ModelConfig two = family("qwen2");
  CHECK_EQUAL(two.family, std::string("qwen2"));
  CHECK(two.qkv_bias && !two.qk_norm);
  const ModelConfig three = family("qwen3");
  CHECK_EQUAL(three.family, std::string("qwen3"));
  CHECK(!three.qkv_bias && three.qk_norm);
}

TEST("config: YaRN stretches slow frequencies, and the context") {
  const HfConfig plain = parse("");
  const HfConfig yarn = parse(R"("rope_scaling":{"type":"yarn","factor":4.0,)"
                              R"("original_max_position_embeddings":64})");
  const auto& kept = plain.model.rope.inv_freq;
  const auto& now = yarn.model.rope.inv_freq;
  CHECK(near(now.front(), kept.front()));
  CHECK(near(now.back(), kept.back() / 4));
  CHECK(near(yarn.model.rope.scale, 0.1 * std::log(4.0) + 1));
  CHECK_EQUAL(
      yarn.model.max_context, std::max(plain.model.max_context, 4 * 64));
  check_invalid(
      R"("rope_scaling":{"type":"yarn","factor":4,"beta_fast":1})",
      "beta_fast");
}

TEST("config: an unknown family is refused by name, with the list") {
  const std::string said = error_replacing("\"llama\"", "\"mamba\"");
  CHECK(contains(said, "MODEL_UNSUPPORTED"));
  CHECK(contains(said, "'mamba'"));
  CHECK(contains(said, "supported: llama"));
  CHECK(contains(
      error_replacing("\"model_type\":\"llama\",", ""),
      "'model_type' is missing"));
}

TEST("config: variants that change the arithmetic are refused by name") {
  check_unsupported("\"attention_bias\":true", "attention_bias");
  check_unsupported("\"mlp_bias\":true", "mlp_bias");
  check_unsupported("\"hidden_act\":\"gelu\"", "gelu");
  check_unsupported("\"partial_rotary_factor\":0.5", "partial_rotary_factor");
  check_unsupported(
      R"("layer_types":["full_attention","linear_attention"])", "layer_types");
  check_unsupported(
      R"("rope_scaling":{"rope_type":"longrope","factor":4})", "'longrope'");
  check_unsupported(R"("rope_scaling":{"type":"dynamic"})", "'dynamic'");
  check_unsupported(
      R"("quantization_config":{"quant_method":"gptq","bits":4})", "'gptq'");
  check_unsupported(
      R"("quantization":{"group_size":32,"bits":8,"mode":"mxfp8"})", "'mxfp8'");
  check_unsupported(
      R"("quantization":{"group_size":64,"bits":4,)"
      R"("lm_head":{"group_size":16,"bits":4,"mode":"nvfp4"}})",
      "'nvfp4'");
  check_unsupported(R"("quantization":{"group_size":64,"bits":7})", "7-bit");
  check_unsupported(
      R"("quantization":{"group_size":48,"bits":4})", "groups of 48");
}

TEST("config: quantisation with overrides") {
  const HfConfig c = parse(
      R"("quantization":{"group_size":64,"bits":4,"a":{"bits":6},)"
      R"("b":false,"c":true,"d":{"group_size":32,"bits":8,"mode":"affine"}})");
  CHECK_EQUAL(c.quantisation->bits, 4);
  CHECK_EQUAL(c.format_of("anything")->group, 64);
  CHECK_EQUAL(c.format_of("a")->bits, 6);
  CHECK_EQUAL(c.format_of("a")->group, 64);
  CHECK(!c.format_of("b"));
  CHECK_EQUAL(c.format_of("c")->bits, 4);
  CHECK_EQUAL(c.format_of("d")->group, 32);
  CHECK(!parse("").format_of("a"));
  CHECK_EQUAL(
      parse(R"("quantization_config":{"group_size":32,"bits":3})")
          .quantisation->bits,
      3);
}

TEST("config: end tokens are a number or a list, and add up") {
  const auto eos = [](const std::string& value) {
    return config_from_hf_json(config_replacing("\"eos_token_id\":2", value))
        .eos_ids;
  };
  CHECK(eos("\"eos_token_id\":[2,0,7]") == (Ids{2, 0, 7}));
  CHECK(eos("\"eos_token_id\":null").empty());
  CHECK(eos("\"x\":1").empty());
  for (const char* bad :
       {"\"2\"",
        "-1",
        "2.5",
        "[1,\"2\"]",
        "[[1]]",
        "48",
        "4294967298",
        "[2,48]",
        "{}"}) {
    CHECK_ERROR(
        eos(std::string("\"eos_token_id\":") + bad), Code::kModelInvalid);
  }
  ModelConfig c = parse("").model;
  add_generation_config(R"({"eos_token_id":[5,2,6]})", "g.json", c);
  CHECK(c.eos_ids == (Ids{2, 5, 6}));
  add_generation_config(R"({"temperature":0.6})", "g.json", c);
  CHECK(c.eos_ids == (Ids{2, 5, 6}));
  CHECK_ERROR(
      add_generation_config(R"({"eos_token_id":99})", "g.json", c),
      Code::kModelInvalid);
  CHECK_ERROR(add_generation_config("{", "g.json", c), Code::kModelInvalid);
}

TEST("config: wrong types, missing and absurd figures are refused") {
  for (const char* key :
       {"hidden_size",
        "num_hidden_layers",
        "intermediate_size",
        "num_attention_heads",
        "vocab_size"}) {
    const std::string quoted = std::string("\"") + key + "\"";
    CHECK(contains(
        error_replacing(quoted, "\"x\""),
        std::string("'") + key + "' is missing"));
    for (const char* value :
         {"-1",
          "0",
          "1.5",
          "\"4\"",
          "[]",
          "2147483648",
          "1e300",
          "9223372036854775807",
          "2147483647"}) {
      const std::string said =
          error_replacing(quoted, quoted + ":" + value + ",\"x\"");
      CHECK(contains(said, "MODEL_INVALID"));
    }
  }
  check_invalid("\"head_dim\":31", "odd");
  check_invalid("\"head_dim\":0", "head dimension is 0");
  check_invalid("\"head_dim\":2147483647", "head dimension");
  check_invalid("\"rope_theta\":0", "'rope_theta' is not a positive");
  check_invalid("\"rope_theta\":\"1\"", "'rope_theta' is a string");
  check_invalid("\"rope_scaling\":[]", "not an object");
  check_invalid("\"rope_traditional\":1", "'rope_traditional' is an integer");
  check_invalid("\"quantization\":4", "not an object");
  check_invalid("\"attention_bias\":\"no\"", "'attention_bias' is a string");
  CHECK(contains(
      error_replacing("\"num_key_value_heads\":2", "\"num_key_value_heads\":3"),
      "not a multiple"));
  CHECK(contains(
      error_replacing("\"num_key_value_heads\":2", "\"num_key_value_heads\":8"),
      "KV heads"));
  for (const char* eps : {"-1", "1", "1e300", "\"x\""}) {
    CHECK(contains(error_replacing("1e-5", eps), "MODEL_INVALID"));
  }
  CHECK_ERROR(config_from_hf_json("[]"), Code::kModelInvalid);
  CHECK_ERROR(config_from_hf_json(""), Code::kModelInvalid);
}

TEST("config: cut at any byte, it is refused") {
  const std::string good =
      config_with(R"("rope_scaling":{"rope_type":"linear","factor":2})");
  CHECK_EQUAL(config_from_hf_json(good).n_layers, 2);
  for (size_t n = 0; n < good.size(); n++) {
    CHECK_ERROR(config_from_hf_json(good.substr(0, n)), Code::kModelInvalid);
  }
}

TEST("rope: linear scaling and both places for theta") {
  const auto freq = [](const std::string& more) {
    return parse(more).model.rope.inv_freq;
  };
  const auto plain = freq("");
  CHECK_EQUAL(plain.size(), 16u);
  CHECK_EQUAL(plain[0], 1.0f);
  CHECK(near(plain[4], std::pow(10000.0, -8.0 / 32)));
  CHECK(near(freq("\"rope_theta\":500000")[1], std::pow(5e5, -2.0 / 32)));
  CHECK(near(
      freq(R"("rope_parameters":{"rope_theta":500000,"rope_type":"default"})")
          [1],
      std::pow(5e5, -2.0 / 32)));
  const auto half = freq(R"("rope_scaling":{"type":"linear","factor":2})");
  for (size_t i = 0; i < plain.size(); i++) {
    CHECK(near(half[i], plain[i] / 2));
  }
  check_invalid(R"("rope_scaling":{"type":"linear","factor":0})", "'factor'");
}

TEST("rope: Llama 3 keeps short waves, stretches long ones, blends between") {
  // Of Llama 3.2 1B: theta 500000, head 64, factor 32, 1, 4, 8192.
  std::vector<float> inv_freq = rope_frequencies(64, 500000);
  const std::vector<float> plain = inv_freq;
  scale_rope_llama3(inv_freq, {32, 1, 4, 8192});
  int kept = 0;
  int stretched = 0;
  for (size_t i = 0; i < inv_freq.size(); i++) {
    const double wavelength = 2 * std::numbers::pi / plain[i];
    if (wavelength < 8192 / 4.0) {
      CHECK_EQUAL(inv_freq[i], plain[i]);
      kept++;
    } else if (wavelength > 8192) {
      CHECK(near(inv_freq[i], plain[i] / 32));
      stretched++;
    } else {
      const double smooth = (8192 / wavelength - 1) / (4 - 1);
      CHECK(
          near(inv_freq[i], (1 - smooth) * plain[i] / 32 + smooth * plain[i]));
    }
  }
  CHECK_EQUAL(kept, 15);
  CHECK_EQUAL(stretched, 14);
  const std::string llama3 =
      R"("rope_scaling":{"rope_type":"llama3","factor":32.0,)"
      R"("low_freq_factor":1.0,"high_freq_factor":4.0,)"
      R"("original_max_position_embeddings":8192},"rope_theta":500000,)"
      R"("head_dim":64)";
  CHECK(parse(llama3).model.rope.inv_freq == inv_freq);
  check_invalid(
      R"("rope_scaling":{"rope_type":"llama3","low_freq_factor":4})",
      "not above");
}

TEST("config: figures of GGUF metadata") {
  const ModelConfig c = from_gguf(tiny_gguf());
  CHECK_EQUAL(c.family, std::string("llama"));
  CHECK_EQUAL(c.name, std::string("Tiny"));
  CHECK_EQUAL(c.n_layers, 2);
  CHECK_EQUAL(c.head_dim, 32);
  CHECK_EQUAL(c.n_kv_heads, 2);
  CHECK_EQUAL(c.d_ff, 256);
  CHECK_EQUAL(c.vocab_size, 48);
  CHECK_EQUAL(c.max_context, 512);
  CHECK(c.tied_embeddings);
  CHECK(c.rope.interleaved);
  CHECK(c.eos_ids == Ids{2});
  CHECK(!from_gguf(tiny::gguf(kGgmlF16, false)).tied_embeddings);
}

TEST("config: GGUF end tokens of text, turn and message count once each") {
  const ModelConfig c = from_gguf(tiny_gguf()
                                      .u32("tokenizer.ggml.eot_token_id", 5)
                                      .u32("tokenizer.ggml.eom_token_id", 2));
  CHECK(c.eos_ids == (Ids{2, 5}));
}

TEST("config: GGUF rope factors and linear scaling") {
  const auto plain = from_gguf(tiny_gguf()).rope.inv_freq;
  std::string factors;
  for (int i = 0; i < 16; i++) {
    const auto f = static_cast<float>(i + 1);
    factors.append(reinterpret_cast<const char*>(&f), sizeof f);
  }
  const auto scaled =
      from_gguf(
          tiny_gguf().tensor("rope_freqs.weight", {16}, kGgmlF32, factors))
          .rope.inv_freq;
  const auto linear = from_gguf(tiny_gguf()
                                    .string("llama.rope.scaling.type", "linear")
                                    .f32("llama.rope.scaling.factor", 4))
                          .rope.inv_freq;
  for (int i = 0; i < 16; i++) {
    CHECK(near(scaled[i], plain[i] / (i + 1)));
    CHECK(near(linear[i], plain[i] / 4));
  }
  check_gguf(
      tiny_gguf().tensor("rope_freqs.weight", {8}, kGgmlF32, factors),
      "MODEL_INVALID",
      "rope_freqs.weight");
  check_gguf(
      tiny_gguf().tensor(
          "rope_freqs.weight", {16}, kGgmlF32, std::string(64, '\0')),
      "MODEL_INVALID",
      "rope frequency");
}

TEST("config: GGUF families and variants are refused by name") {
  check_gguf(
      tiny_gguf()
          .drop("general.architecture")
          .string("general.architecture", "mamba"),
      "MODEL_UNSUPPORTED",
      "'mamba' is not supported; supported: llama");
  check_gguf(
      tiny_gguf().u32("llama.expert_count", 8),
      "MODEL_UNSUPPORTED",
      "expert_count");
  check_gguf(
      tiny_gguf().u32("llama.attention.sliding_window", 512),
      "MODEL_UNSUPPORTED",
      "sliding_window");
  check_gguf(
      tiny_gguf().u32("llama.attention.value_length", 16),
      "MODEL_UNSUPPORTED",
      "value_length");
  check_gguf(
      tiny_gguf()
          .drop("llama.rope.dimension_count")
          .u32("llama.rope.dimension_count", 16),
      "MODEL_UNSUPPORTED",
      "dimension_count");
  check_gguf(
      tiny_gguf().string("llama.rope.scaling.type", "longrope"),
      "MODEL_UNSUPPORTED",
      "'longrope'");
  check_gguf(
      tiny_gguf()
          .drop("llama.attention.head_count_kv")
          .array<int32_t>(
              "llama.attention.head_count_kv", GgufBuilder::kI32, {2, 4}),
      "MODEL_UNSUPPORTED",
      "differs between layers");
  CHECK_EQUAL(
      from_gguf(
          tiny_gguf()
              .drop("llama.attention.head_count_kv")
              .array<int32_t>(
                  "llama.attention.head_count_kv", GgufBuilder::kI32, {2, 2}))
          .n_kv_heads,
      2);
}

TEST("config: GGUF metadata missing or of the wrong kind is refused by key") {
  for (const char* key :
       {"general.architecture",
        "llama.block_count",
        "llama.context_length",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count"}) {
    check_gguf(
        tiny_gguf().drop(key),
        "MODEL_INVALID",
        "metadata '" + std::string(key) + "' is missing");
    check_gguf(tiny_gguf().drop(key).f32(key, 1.5f), "MODEL_INVALID", key);
    if (std::string(key) != "general.architecture") {
      check_gguf(tiny_gguf().drop(key).string(key, "2"), "MODEL_INVALID", key);
      for (const uint64_t value :
           {uint64_t{0},
            uint64_t{2147483647},
            uint64_t{1} << 31,
            uint64_t{1} << 62}) {
        check_gguf(
            tiny_gguf().drop(key).scalar(key, GgufBuilder::kU64, value),
            "MODEL_",
            "");
      }
    }
  }
  check_gguf(
      tiny_gguf().drop("tokenizer.ggml.tokens"),
      "MODEL_INVALID",
      "neither 'llama.vocab_size' nor");
  check_gguf(
      tiny_gguf().u32("llama.vocab_size", 47), "MODEL_INVALID", "more tokens");
  check_gguf(
      tiny_gguf()
          .drop("tokenizer.ggml.eos_token_id")
          .u32("tokenizer.ggml.eos_token_id", 48),
      "MODEL_INVALID",
      "end token 48");
  for (const float theta : {0.0f, -1.0f, HUGE_VALF, NAN}) {
    check_gguf(
        tiny_gguf()
            .drop("llama.rope.freq_base")
            .f32("llama.rope.freq_base", theta),
        "MODEL_INVALID",
        "freq_base");
  }
}
