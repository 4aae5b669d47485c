//===- NNOps.td - The parts of a decoder that are not MoE -*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_DIALECT_NN_IR_NNOPS_TD
#define MOE_DIALECT_NN_IR_NNOPS_TD
include "mlir/IR/OpBase.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "moe/Dialect/MoE/IR/MoEBase.td"

def NN_Dialect : Dialect {
  let name = "nn";
  let summary = "Neural network ops around and inside experts";
  let description = [{
    Activations are f32 [tokens, features]; B sequences of S tokens are B * S
    rows, batch-major. Weights keep the element type of the checkpoint and are
    widened to f32 exactly. Normative text: docs/Spec.md.
  }];
  let cppNamespace = "::mlir::nn";
}

class NN_KernelOp<string mnemonic, list<Trait> traits = []>
    : MoE_KernelOp<NN_Dialect, mnemonic, traits>;

def NN_LinearOp : NN_KernelOp<"linear", [AttrSizedOperandSegments]> {
  let summary = "x * weight^T + bias";
  let description = [{
    `result[m, n] = sum_k x[m, k] weight[n, k] + bias[n]`, one FMA chain in
    ascending `k` from 0. With `accumulate`, that value is added to the
    destination (a residual). Narrow values of `x` are widened exactly; a narrow
    result is rounded to nearest even when it is stored. Spec: nn.linear.
    ```mlir
    %y = nn.linear %x, %w
        : tensor<?x16xf32>, tensor<8x16xf32> -> tensor<?x8xf32>
    ```
  }];
  let arguments = (ins MoE_2D<MoE_WeightTypes>:$x,           // [M, K]
                       MoE_2D<MoE_WeightTypes>:$weight,        // [N, K]
                       Optional<MoE_1D<MoE_WeightTypes>>:$bias, // [N]
                       UnitAttr:$accumulate,
                       Variadic<MoE_2D<MoE_WeightTypes>>:$outs); // [M, N]
  let assemblyFormat = [{
    $x `,` $weight (`bias` `(` $bias^ `:` type($bias) `)`)?
        (`outs` `(` $outs^ `:` type($outs) `)`)? (`accumulate` $accumulate^)?
        attr-dict `:` type($x) `,` type($weight) (`->` type($results)^)?
  }];
}

def NN_EmbeddingOp : NN_KernelOp<"embedding"> {
  let summary = "Rows of a table, one per token id";
  let description = [{
    `result[b S + s] = table[ids[b, s]]`. Ids must lie in [0, V): callers check.
    ```mlir
    %x = nn.embedding %ids, %table
        : tensor<?x?xi64>, tensor<101x40xf32> -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins MoE_2D<[I64]>:$ids,                  // [B, S]
                       MoE_2D<MoE_WeightTypes>:$table,      // [V, H]
                       Variadic<MoE_2D<[F32]>>:$outs);      // [B S, H]
  let assemblyFormat = [{
    $ids `,` $table (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($ids) `,` type($table) (`->` type($results)^)?
  }];
}

def NN_RMSNormOp : NN_KernelOp<"rms_norm"> {
  let summary = "x / sqrt(mean(x^2) + eps) * weight";
  let description = [{
    Per row. The sum of squares runs in 16 interleaved FMA chains (lane l takes
    columns l, l + 16, ...) that are added pairwise: (l, l + 8), (l, l + 4), ...
    Zhang and Sennrich, Root Mean Square Layer Normalization, 2019, equation 4.
    ```mlir
    %y = nn.rms_norm %x, %w {eps = 1.0e-5 : f64}
        : tensor<?x40xf32>, tensor<40xf32> -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins MoE_2D<[F32]>:$x,                    // [M, H]
                       MoE_1D<MoE_WeightTypes>:$weight,     // [H]
                       F64Attr:$eps,
                       Variadic<MoE_2D<[F32]>>:$outs);      // [M, H]
  let assemblyFormat = [{
    $x `,` $weight (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($x) `,` type($weight) (`->` type($results)^)?
  }];
}

def NN_RotaryTableOp : NN_KernelOp<"rotary_table"> {
  let summary = "Cosine and sine of the rotary angles of every token";
  let description = [{
    Row b S + s has position p = lengths[b] + s; columns i have the angle
    p * inv_freq[i], rounded to f32 as the reference implementations do. Only
    the shape of `ids` is used. Su et al., RoFormer, 2021, equation 15.
    ```mlir
    %cos, %sin = nn.rotary_table %ids, %lengths {inv_freq = array<f32: 1.0, 0.1>}
        : tensor<?x?xi64>, tensor<?xi64> -> tensor<?x2xf32>, tensor<?x2xf32>
    ```
  }];
  let arguments = (ins MoE_2D<[I64]>:$ids,                  // [B, S]
                       MoE_1D<[I64]>:$lengths,              // [B]
                       DenseF32ArrayAttr:$inv_freq,         // [D / 2]
                       Variadic<MoE_2D<[F32]>>:$outs);      // [B S, D / 2] * 2
  let assemblyFormat = [{
    $ids `,` $lengths (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($ids) `,` type($lengths) (`->` type($results)^)?
  }];
}

def NN_RotaryOp : NN_KernelOp<"rotary"> {
  let summary = "Rotate the two halves of every head by the token's angles";
  let description = [{
    Per head of width D, with column i of its first half and i + D / 2:
    `(a cos - b sin, b cos + a sin)`: the half-split form.
    ```mlir
    %r = nn.rotary %q, %cos, %sin {heads = 5 : i64}
        : tensor<?x40xf32>, tensor<?x4xf32>, tensor<?x4xf32> -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins MoE_2D<[F32]>:$x,                    // [T, heads D]
                       MoE_2D<[F32]>:$cos,                  // [T, D / 2]
                       MoE_2D<[F32]>:$sin,                  // [T, D / 2]
                       I64Attr:$heads,
                       Variadic<MoE_2D<[F32]>>:$outs);      // [T, heads D]
  let assemblyFormat = [{
    $x `,` $cos `,` $sin (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($x) `,` type($cos) `,` type($sin) (`->` type($results)^)?
  }];
}

def NN_CacheAppendOp : NN_KernelOp<"cache_append"> {
  let summary = "Write new keys or values behind those in the cache";
  let description = [{
    `cache[layer, b, lengths[b] + s, h, d] = x[b S + s, h D + d]`; the rest of
    the cache stays. The destination is required, and lengths[b] + S <= N.
    ```mlir
    %c = nn.cache_append %k, %lengths layer(%l) outs(%cache : tensor<2x?x?x5x8xf32>)
        : tensor<?x40xf32>, tensor<?xi64> -> tensor<2x?x?x5x8xf32>
    ```
  }];
  let arguments = (ins MoE_2D<[F32]>:$x,                    // [B S, h D]
                       MoE_1D<[I64]>:$lengths,              // [B]
                       Index:$layer,
                       Variadic<MoE_ShapedOf<[F32], [5]>>:$outs);
                                                            // [L, B, N, h, D]
  let assemblyFormat = [{
    $x `,` $lengths `layer` `(` $layer `)` `outs` `(` $outs `:` type($outs) `)`
        attr-dict `:` type($x) `,` type($lengths) (`->` type($results)^)?
  }];
}

def NN_AttentionOp : NN_KernelOp<"attention"> {
  let summary = "Causal grouped-query attention over the cache";
  let description = [{
    Query head h of token (b, s), at position p = lengths[b] + s, sees the keys
    j <= p of key/value head h / (heads / kv_heads), and with `window` only
    those with j > p - window. Online softmax over blocks of 16 keys from
    position 0 on (Milakov and Gimelshein, Online normalizer calculation for
    softmax, 2018, algorithm 3): nothing of size S * S. Spec: nn.attention.
    ```mlir
    %o = nn.attention %q, %k, %v, %lengths layer(%l)
        {heads = 5 : i64, scale = 0.35 : f64}
        : tensor<?x40xf32>, tensor<2x?x?x5x8xf32>, tensor<2x?x?x5x8xf32>,
          tensor<?xi64> -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins MoE_2D<[F32]>:$q,                    // [B S, heads D]
                       MoE_ShapedOf<[F32], [5]>:$keys,      // [L, B, N, h, D]
                       MoE_ShapedOf<[F32], [5]>:$values,    // [L, B, N, h, D]
                       MoE_1D<[I64]>:$lengths,              // [B]
                       Index:$layer,
                       I64Attr:$heads, F64Attr:$scale,
                       OptionalAttr<I64Attr>:$window,
                       Variadic<MoE_2D<[F32]>>:$outs);      // [B S, heads D]
  let assemblyFormat = [{
    $q `,` $keys `,` $values `,` $lengths `layer` `(` $layer `)`
        (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($q) `,` type($keys) `,` type($values) `,` type($lengths)
        (`->` type($results)^)?
  }];
}

def NN_LastRowsOp : NN_KernelOp<"last_rows"> {
  let summary = "The row of each sequence's last token";
  let description = [{
    `result[b] = x[b S + S - 1]`; only the shape of `ids` is used. S >= 1:
    callers check.
    ```mlir
    %l = nn.last_rows %x, %ids
        : tensor<?x40xf32>, tensor<?x?xi64> -> tensor<?x40xf32>
    ```
  }];
  let arguments = (ins MoE_2D<[F32]>:$x,                    // [B S, H]
                       MoE_2D<[I64]>:$ids,                  // [B, S]
                       Variadic<MoE_2D<[F32]>>:$outs);      // [B, H]
  let assemblyFormat = [{
    $x `,` $ids (`outs` `(` $outs^ `:` type($outs) `)`)? attr-dict
        `:` type($x) `,` type($ids) (`->` type($results)^)?
  }];
}

//===----------------------------------------------------------------------===//
// Elementwise ops take tensors or, inside an epilogue, scalars and vectors: a
// fusion moves the op as it is, and each emitter expands it in its own way.
//===----------------------------------------------------------------------===//

class NN_ElementwiseOp<string mnemonic, list<Trait> traits = []>
    : Op<NN_Dialect, mnemonic, !listconcat([
        Pure, Elementwise, Scalarizable, Vectorizable, Tensorizable,
        SameOperandsAndResultType], traits)> {
  let results = (outs FloatLike:$result);
}
class NN_UnaryOp<string mnemonic> : NN_ElementwiseOp<mnemonic> {
  let arguments = (ins FloatLike:$x);
  let assemblyFormat = "$x attr-dict `:` type($x)";
}
class NN_BinaryOp<string mnemonic> : NN_ElementwiseOp<mnemonic, [Commutative]> {
  let arguments = (ins FloatLike:$x, FloatLike:$y);
  let assemblyFormat = "$x `,` $y attr-dict `:` type($x)";
}

def NN_SiluOp : NN_UnaryOp<"silu"> {
  let summary = "x / (1 + exp(-x))";
}
def NN_GeluOp : NN_UnaryOp<"gelu"> {
  let summary = "x (1 + erf(x / sqrt 2)) / 2";
}
def NN_GeluTanhOp : NN_UnaryOp<"gelu_tanh"> {
  let summary = "x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2";
}
def NN_ReluOp : NN_UnaryOp<"relu"> {
  let summary = "max(x, 0)";
  let hasFolder = 1;
}
def NN_SquaredReluOp : NN_UnaryOp<"squared_relu"> {
  let summary = "max(x, 0)^2";
}
def NN_MulOp : NN_BinaryOp<"mul"> {
  let summary = "x * y";
  let hasFolder = 1;
}
def NN_AddOp : NN_BinaryOp<"add"> {
  let summary = "x + y";
  let hasFolder = 1;
}
#endif // MOE_DIALECT_NN_IR_NNOPS_TD
