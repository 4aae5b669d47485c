//===- Mixtral.cpp - The Mixtral family -----------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "HuggingFace/HuggingFace.h"
#include "moe/Import/Limits.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::hf;

/// Softmax over all experts, the best k of them, renormalised; no shared
/// expert, no bias anywhere. Jiang et al., Mixtral of Experts, 2024.
static void read(ConfigObject &config, Decoder &decoder) {
  // Newer configs may use the first name for the second.
  StringRef numExperts =
      config.has("num_experts") && !config.has("num_local_experts")
          ? "num_experts"
          : "num_local_experts";
  decoder.numExperts = config.integer(numExperts, 1, kMaxExperts, std::nullopt);
  if (config.has("num_experts") &&
      config.integer("num_experts", 1, kMaxExperts, std::nullopt) !=
          decoder.numExperts)
    config.fail("num_experts", "the value of 'num_local_experts' (" +
                                   Twine(decoder.numExperts) + ")");
  decoder.topK =
      config.integer("num_experts_per_tok", 1, kMaxExperts, std::nullopt);
  if (decoder.topK > decoder.numExperts)
    config.fail("num_experts_per_tok", "at most '" + numExperts + "' (" +
                                           Twine(decoder.numExperts) + ")");
  decoder.renormalize = true;
}

const Family hf::mixtral = {
    /*modelType=*/"mixtral",
    /*architecture=*/"MixtralForCausalLM",
    /*summary=*/"softmax, top-k, renormalised; GLU experts",
    {/*numKVHeads=*/8, /*maxLength=*/131072, /*normEps=*/1e-5,
     /*ropeTheta=*/1e6, /*activation=*/"silu"},
    {/*embedding=*/"model.embed_tokens.weight",
     /*finalNorm=*/"model.norm.weight",
     /*head=*/"lm_head.weight",
     /*attentionNorm=*/"model.layers.{l}.input_layernorm.weight",
     /*query=*/"model.layers.{l}.self_attn.q_proj.weight",
     /*key=*/"model.layers.{l}.self_attn.k_proj.weight",
     /*value=*/"model.layers.{l}.self_attn.v_proj.weight",
     /*output=*/"model.layers.{l}.self_attn.o_proj.weight",
     /*expertsNorm=*/"model.layers.{l}.post_attention_layernorm.weight",
     /*router=*/"model.layers.{l}.block_sparse_moe.gate.weight",
     /*gate=*/"model.layers.{l}.block_sparse_moe.experts.{e}.w1.weight",
     /*up=*/"model.layers.{l}.block_sparse_moe.experts.{e}.w3.weight",
     /*down=*/"model.layers.{l}.block_sparse_moe.experts.{e}.w2.weight"},
    read};
