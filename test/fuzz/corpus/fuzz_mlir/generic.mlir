"builtin.module"() ({
  "moe.parameter"() <{sources = [#moe.source<"router.weight", tensor<2x10xf32>, first = 0, count = 2, part = 0>], sym_name = "router.weight", type = tensor<2x10xf32>}> : () -> ()
  "moe.parameter"() <{sources = [#moe.source<"experts.0.gate.weight", tensor<7x10xf32>, first = 0, count = 1, part = 0>, #moe.source<"experts.1.gate.weight", tensor<7x10xf32>, first = 1, count = 1, part = 0>], sym_name = "experts.gate.weight", type = tensor<2x7x10xf32>}> : () -> ()
  "moe.parameter"() <{sources = [#moe.source<"experts.0.up.weight", tensor<7x10xf32>, first = 0, count = 1, part = 0>, #moe.source<"experts.1.up.weight", tensor<7x10xf32>, first = 1, count = 1, part = 0>], sym_name = "experts.up.weight", type = tensor<2x7x10xf32>}> : () -> ()
  "moe.parameter"() <{sources = [#moe.source<"experts.0.down.weight", tensor<10x7xf32>, first = 0, count = 1, part = 0>, #moe.source<"experts.1.down.weight", tensor<10x7xf32>, first = 1, count = 1, part = 0>], sym_name = "experts.down.weight", type = tensor<2x10x7xf32>}> : () -> ()
  "func.func"() <{arg_attrs = [{moe.name = "hidden_states", moe.shape = ["T", 10]}], function_type = (tensor<?x10xf32>) -> (tensor<?x10xf32>, tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>), res_attrs = [{moe.name = "output", moe.shape = ["T", 10]}, {moe.count = "num_entries", moe.name = "token_index", moe.optional, moe.shape = ["2*T"]}, {moe.count = "num_entries", moe.name = "expert_index", moe.optional, moe.shape = ["2*T"]}, {moe.count = "num_entries", moe.name = "expert_weight", moe.optional, moe.shape = ["2*T"]}, {moe.name = "num_entries", moe.optional, moe.shape = [1]}], sym_name = "layer"}> ({
  ^bb0(%arg0: tensor<?x10xf32>):
    %0 = "moe.parameter_ref"() <{parameter = @router.weight}> : () -> tensor<2x10xf32>
    %1 = "moe.router_logits"(%arg0, %0) <{operandSegmentSizes = array<i32: 1, 1, 0, 0>}> : (tensor<?x10xf32>, tensor<2x10xf32>) -> tensor<?x2xf32>
    %2 = "moe.score"(%1) <{fn = #moe<score_fn softmax>, operandSegmentSizes = array<i32: 1, 0, 0>}> : (tensor<?x2xf32>) -> tensor<?x2xf32>
    %3:2 = "moe.top_k"(%2) <{k = 2 : i64}> : (tensor<?x2xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>)
    %4 = "moe.renormalize"(%3#1) <{eps = 0.000000e+00 : f64, floor = 0.000000e+00 : f64, p = 1 : i64}> : (tensor<?x2xf32>) -> tensor<?x2xf32>
    %5 = "moe.assign"(%3#0, %4) : (tensor<?x2xi32>, tensor<?x2xf32>) -> !moe.assignment<experts = 2, max_per_token = 2>
    %6 = "arith.constant"() <{value = 0 : index}> : () -> index
    %7 = "tensor.dim"(%arg0, %6) : (tensor<?x10xf32>, index) -> index
    %8 = "tensor.empty"(%7) : (index) -> tensor<?x10xf32>
    %9 = "arith.constant"() <{value = 0.000000e+00 : f32}> : () -> f32
    %10 = "linalg.fill"(%9, %8) <{operandSegmentSizes = array<i32: 1, 1>}> ({
    ^bb0(%arg6: f32, %arg7: f32):
      "linalg.yield"(%arg6) : (f32) -> ()
    }) : (f32, tensor<?x10xf32>) -> tensor<?x10xf32>
    %11 = "moe.parameter_ref"() <{parameter = @experts.gate.weight}> : () -> tensor<2x7x10xf32>
    %12 = "moe.parameter_ref"() <{parameter = @experts.up.weight}> : () -> tensor<2x7x10xf32>
    %13 = "moe.parameter_ref"() <{parameter = @experts.down.weight}> : () -> tensor<2x10x7xf32>
    %14 = "moe.layer"(%arg0, %5, %10, %11, %12, %13) <{apply = #moe<apply output>, weights_per_kind = array<i64: 3>}> ({
    ^bb0(%arg1: tensor<?x10xf32>, %arg2: index, %arg3: tensor<7x10xf32>, %arg4: tensor<7x10xf32>, %arg5: tensor<10x7xf32>):
      %16 = "nn.linear"(%arg1, %arg3) <{operandSegmentSizes = array<i32: 1, 1, 0, 0>}> : (tensor<?x10xf32>, tensor<7x10xf32>) -> tensor<?x7xf32>
      %17 = "nn.linear"(%arg1, %arg4) <{operandSegmentSizes = array<i32: 1, 1, 0, 0>}> : (tensor<?x10xf32>, tensor<7x10xf32>) -> tensor<?x7xf32>
      %18 = "nn.silu"(%16) : (tensor<?x7xf32>) -> tensor<?x7xf32>
      %19 = "nn.mul"(%18, %17) : (tensor<?x7xf32>, tensor<?x7xf32>) -> tensor<?x7xf32>
      %20 = "nn.linear"(%19, %arg5) <{operandSegmentSizes = array<i32: 1, 1, 0, 0>}> : (tensor<?x7xf32>, tensor<10x7xf32>) -> tensor<?x10xf32>
      "moe.yield"(%20) : (tensor<?x10xf32>) -> ()
    }) : (tensor<?x10xf32>, !moe.assignment<experts = 2, max_per_token = 2>, tensor<?x10xf32>, tensor<2x7x10xf32>, tensor<2x7x10xf32>, tensor<2x10x7xf32>) -> tensor<?x10xf32>
    %15:4 = "moe.assignment_entries"(%5) : (!moe.assignment<experts = 2, max_per_token = 2>) -> (tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>)
    "func.return"(%14, %15#0, %15#1, %15#2, %15#3) : (tensor<?x10xf32>, tensor<?xi64>, tensor<?xi64>, tensor<?xf32>, tensor<1xi64>) -> ()
  }) : () -> ()
}) {moe.model = "moe_layer"} : () -> ()

