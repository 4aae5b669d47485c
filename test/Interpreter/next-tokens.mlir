// `next_tokens` is the greedy continuation of row 0 by prefill and decode. In
// this model every token so far votes for the next one, by a table.
// RUN: rm -rf %t && mkdir %t
// RUN: %python %S/Inputs/st.py write %t/in.st input_ids I64 2x2 1,1,3,3 next_tokens I64 4 2,2,1,1
// RUN: moe-opt %s --interpret=forward --input=%t/in.st --expect=%t/in.st
// RUN: %python %S/Inputs/st.py set %t/in.st next_tokens 3 0 %t/bad.st
// RUN: sh -c 'moe-opt %s --interpret=forward --input=%t/in.st --expect=%t/bad.st; test $? = 3' 2>&1 | FileCheck %s
// CHECK: error: {{.*}}bad.st: tensor 'next_tokens' at [3]: got 1, expected 0; 1 of 4 elements differ
// RUN: %python %S/Inputs/st.py write %t/none.st input_ids I64 2x0 "" next_tokens I64 1 2
// RUN: sh -c 'moe-opt %s --interpret=forward --input=%t/none.st --expect=%t/none.st; test $? = 3' 2>&1 | FileCheck %s --check-prefix=NONE
// NONE: error: {{.*}}none.st: tensor 'next_tokens' cannot be checked
// A tie goes to the lower token: after 0 both 1 and 2 have the logit 1.
// RUN: %python %S/Inputs/st.py write %t/tie.st input_ids I64 1x1 0 next_tokens I64 1 1
// RUN: moe-opt %s --interpret=forward --input=%t/tie.st --expect=%t/tie.st
// Sequences are bounded.
// RUN: %python %S/Inputs/st.py write %t/long.st input_ids I64 1x9 0,0,0,0,0,0,0,0,0
// RUN: not moe-opt %s --interpret=forward --input=%t/long.st 2>&1 | FileCheck %s --check-prefix=LONG
// LONG: error: sequences of 9 tokens are longer than the model's 8

module attributes {moe.max_length = 8 : i64} {
  func.func @forward(%ids: tensor<?x?xi64> {moe.name = "input_ids", moe.shape = ["B", "S"], moe.limit = 4 : i64}) {
    return
  }
  func.func @prefill(%ids: tensor<?x?xi64> {moe.name = "input_ids", moe.shape = ["B", "S"], moe.limit = 4 : i64},
                     %k: tensor<1x?x?x1x4xf32> {moe.state, moe.name = "k_cache", moe.shape = [1, "B", "N", 1, 4]},
                     %n: tensor<?xi64> {moe.lengths, moe.name = "lengths", moe.shape = ["B"]})
      -> (tensor<?x4xf32> {moe.name = "logits", moe.shape = ["B", 4]},
          tensor<1x?x?x1x4xf32> {moe.name = "k_cache", moe.shape = [1, "B", "N", 1, 4]}) {
    %l, %c = call @extend(%ids, %k, %n) : (tensor<?x?xi64>, tensor<1x?x?x1x4xf32>, tensor<?xi64>) -> (tensor<?x4xf32>, tensor<1x?x?x1x4xf32>)
    return %l, %c : tensor<?x4xf32>, tensor<1x?x?x1x4xf32>
  }
  func.func @decode(%ids: tensor<?x?xi64> {moe.name = "input_ids", moe.shape = ["B", 1], moe.limit = 4 : i64},
                    %k: tensor<1x?x?x1x4xf32> {moe.state, moe.name = "k_cache", moe.shape = [1, "B", "N", 1, 4]},
                    %n: tensor<?xi64> {moe.lengths, moe.name = "lengths", moe.shape = ["B"]})
      -> (tensor<?x4xf32> {moe.name = "logits", moe.shape = ["B", 4]},
          tensor<1x?x?x1x4xf32> {moe.name = "k_cache", moe.shape = [1, "B", "N", 1, 4]}) {
    %l, %c = call @extend(%ids, %k, %n) : (tensor<?x?xi64>, tensor<1x?x?x1x4xf32>, tensor<?xi64>) -> (tensor<?x4xf32>, tensor<1x?x?x1x4xf32>)
    return %l, %c : tensor<?x4xf32>, tensor<1x?x?x1x4xf32>
  }
  // Equal scores make attention the mean of the votes. After 1, 1 the sums are
  // [0, 0, 6, 0]: 2. Then [0, 5, 6, 0]: 2 (token 2 alone would say 1). Then
  // [0, 10, 6, 0]: 1; then [0, 10, 9, 0]: 1.
  func.func private @extend(%ids: tensor<?x?xi64>, %k: tensor<1x?x?x1x4xf32>, %n: tensor<?xi64>)
      -> (tensor<?x4xf32>, tensor<1x?x?x1x4xf32>) {
    %table = arith.constant dense<[[0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 3.0, 0.0],
                                   [0.0, 5.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]]> : tensor<4x4xf32>
    %c0 = arith.constant 0 : index
    %x = nn.embedding %ids, %table : tensor<?x?xi64>, tensor<4x4xf32> -> tensor<?x4xf32>
    %c = nn.cache_append %x, %n layer(%c0) outs(%k : tensor<1x?x?x1x4xf32>)
        : tensor<?x4xf32>, tensor<?xi64> -> tensor<1x?x?x1x4xf32>
    %o = nn.attention %x, %c, %c, %n layer(%c0) {heads = 1 : i64, scale = 0.0 : f64}
        : tensor<?x4xf32>, tensor<1x?x?x1x4xf32>, tensor<1x?x?x1x4xf32>, tensor<?xi64> -> tensor<?x4xf32>
    %l = nn.last_rows %o, %ids : tensor<?x4xf32>, tensor<?x?xi64> -> tensor<?x4xf32>
    return %l, %c : tensor<?x4xf32>, tensor<1x?x?x1x4xf32>
  }
}
